//! Files by which a partner answers sent documents, and what they do to a home.

use super::Home;
use super::outbound_documents::receive_file;

/// Returns a file of ACMERETAIL with one set, or with TA1 segments only if `kind` is empty.
pub fn answer_file(kind: &str, segments: &[&str]) -> String {
    answer_file_of("ACMERETAIL", "P", kind, segments)
}

/// Returns a file of a partner; `usage` is P or T.
pub fn answer_file_of(partner: &str, usage: &str, kind: &str, segments: &[&str]) -> String {
    let number = fastrand::u32(1..999_999_999);
    let isa = format!(
        "ISA*00*          *00*          *ZZ*{partner:<15}*ZZ*NOVEX          *261124*1041*U*00401*{number:09}*0*{usage}*>"
    );
    let mut lines: Vec<String> = vec![isa];
    let group_count = usize::from(!kind.is_empty());
    if group_count > 0 {
        let id = if kind == "824" { "AG" } else { "FA" };
        lines.push(format!("GS*{id}*{partner}*NOVEX*20261124*1041*7*X*004010"));
        lines.push(format!("ST*{kind}*0001"));
    }
    lines.extend(segments.iter().map(|segment| (*segment).to_owned()));
    if group_count > 0 {
        lines.push(format!("SE*{}*0001", segments.len() + 2));
        lines.push("GE*1*7".to_owned());
    }
    lines.push(format!("IEA*{group_count}*{number:09}"));
    lines.join("~\n") + "~\n"
}

/// Processes an answer of ACMERETAIL. Returns the note of its event.
pub fn receive_answer(home: &Home, kind: &str, segments: &[&str]) -> String {
    receive_answer_file(home, &answer_file(kind, segments))
}

/// Processes a file. Returns the note of its event.
pub fn receive_answer_file(home: &Home, text: &str) -> String {
    receive_file(home, text);
    home.sql("SELECT coalesce(note, '') FROM webhook_events WHERE topic NOT LIKE 'send/%' ORDER BY id DESC LIMIT 1")
}

/// Returns the state of a sent document.
pub fn state_of(home: &Home, number: &str) -> String {
    home.sql(&format!("SELECT state FROM edi_transmissions WHERE number = '{number}'"))
}
