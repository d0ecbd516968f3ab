//! X12 files: an interchange with orders or changes.

use std::fmt::Write;

/// Returns an interchange with one group; each set is the segments between ST and SE.
pub fn interchange(kind: &str, sets: &[Vec<String>]) -> String {
    let mut text = format!(
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~\n\
         GS*{}*ACMERETAIL*NOVEX*20261124*1041*7*X*004010~\n",
        match kind {
            "860" => "PC",
            "875" | "876" => "OG",
            _ => "PO",
        }
    );
    for (index, set) in sets.iter().enumerate() {
        writeln!(text, "ST*{kind}*{:04}~", index + 1).unwrap();
        for segment in set {
            writeln!(text, "{segment}~").unwrap();
        }
        writeln!(text, "SE*{}*{:04}~", set.len() + 2, index + 1).unwrap();
    }
    write!(text, "GE*{}*7~\nIEA*1*000000055~\n", sets.len()).unwrap();
    text
}

/// Returns the segments of an order (850). Line `n` has `10 * n` CA at 19.95.
pub fn order_set(number: &str, lines: usize) -> Vec<String> {
    let mut set = vec![format!("BEG*00*SA*{number}**20261124"), "REF*DP*019".to_owned(), "DTM*002*20261201".to_owned()];
    set.push("N1*ST*Acme DC 5*92*0005".to_owned());
    for line in 1..=lines {
        set.push(format!("PO1*{line}*{}*CA*19.95**BP*B{line}*VN*V{line}*UK*1061414100001{line}", line * 10));
        set.push(format!("PID*F****Jam {line}"));
    }
    set.push(format!("CTT*{lines}"));
    set
}

/// Returns the segments of a change (860).
pub fn change_set(number: &str, sequence: &str, lines: &[&str]) -> Vec<String> {
    let mut set = vec![format!("BCH*04*SA*{number}**{sequence}*20261124*****20261125")];
    set.extend(lines.iter().map(|line| (*line).to_owned()));
    set.push(format!("CTT*{}", lines.len()));
    set
}
