//! Reads 864, 820 and 812 as far as a person needs them: who sent it, how much, for what, and the text.
//!
//! Source: X12 004010 as documented at stedi.com/edi. The event keeps the whole document.

use crate::edi::decimal;
use crate::edi::message::EdiMessage;
use crate::edi::x12::segments::parse_x12_date;
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet};

/// Most characters of a text.
const TEXT_CHARS_MAX: usize = 20_000;
/// Most references of one message.
const REFERENCES_MAX: usize = 1_000;
/// Last line of a text that is too long.
const CUT_TEXT: &str = "The text goes on: the body of the event has all of it.";

/// Returns true for the transaction sets that a person reads.
#[must_use]
pub fn is_message_set(kind: &str) -> bool {
    matches!(kind, "864" | "820" | "812")
}

/// Reads a set; `None` for a set of another kind.
#[must_use]
pub fn read_message_set(interchange: &Interchange<'_>, set: &TransactionSet<'_>) -> Option<EdiMessage> {
    if !is_message_set(&set.kind) {
        return None;
    }
    let message = EdiMessage {
        kind: set.kind.clone(),
        partner: interchange.sender.1.clone(),
        is_test: interchange.is_test,
        ..EdiMessage::default()
    };
    let mut reader = MessageReader { message, char_count: 0 };
    for segment in &set.segments {
        reader.read_shared_segment(segment);
        match set.kind.as_str() {
            "864" => reader.read_text_segment(segment),
            "820" => reader.read_payment_segment(segment),
            _ => reader.read_adjustment_segment(segment),
        }
    }
    Some(reader.message)
}

struct MessageReader {
    message: EdiMessage,
    char_count: usize,
}

impl MessageReader {
    fn add_line(&mut self, line: &str) {
        let text = &mut self.message.text;
        if line.is_empty() || self.char_count > TEXT_CHARS_MAX {
            return;
        }
        self.char_count += line.chars().count() + 1;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(if self.char_count > TEXT_CHARS_MAX { CUT_TEXT } else { line });
    }

    fn add_reference(&mut self, qualifier: &str, value: Option<String>) {
        if let Some(value) = value
            && self.message.references.len() < REFERENCES_MAX
        {
            self.message.references.push((qualifier.to_owned(), value));
        }
    }

    /// Reads a segment that has the same meaning in all three sets.
    fn read_shared_segment(&mut self, segment: &X12Segment<'_>) {
        match segment.id.to_ascii_uppercase().as_str() {
            "REF" | "N9" => {
                self.add_reference(segment.element(1).trim(), segment.non_empty_element(2));
                if let Some(text) = segment.non_empty_element(3) {
                    self.add_line(&text);
                }
            }
            "CUR" => self.message.currency = segment.non_empty_element(2),
            "NTE" | "MTX" => self.add_line(&join_elements(segment, 2, 3)),
            "PER" => self.add_line(&format!("contact: {}", join_elements(segment, 2, 9))),
            _ => {}
        }
    }

    fn read_text_segment(&mut self, segment: &X12Segment<'_>) {
        match segment.id.to_ascii_uppercase().as_str() {
            "BMG" => self.message.subject = segment.non_empty_element(2),
            "MIT" => {
                let title = segment.non_empty_element(2);
                if self.message.number.is_none() {
                    self.message.number = segment.non_empty_element(1);
                } else {
                    self.add_line(segment.element(1).trim());
                }
                match (&self.message.subject, title) {
                    (None, title) => self.message.subject = title,
                    (Some(subject), Some(title)) if *subject != title => self.add_line(&title),
                    _ => {}
                }
            }
            "MSG" => self.add_line(segment.element(1).trim_end()),
            _ => {}
        }
    }

    fn read_payment_segment(&mut self, segment: &X12Segment<'_>) {
        match segment.id.to_ascii_uppercase().as_str() {
            "BPR" => {
                self.message.amount = read_amount(segment, 2);
                self.message.direction = describe_direction(segment.element(3));
                self.message.dated_on = parse_x12_date(segment.element(16));
                if let Some(method) = segment.non_empty_element(4) {
                    self.add_line(&format!("paid by {method}"));
                }
            }
            "TRN" => self.message.number = segment.non_empty_element(2),
            "RMR" => {
                self.add_reference(segment.element(1).trim(), segment.non_empty_element(2));
                let parts = [
                    read_amount(segment, 4).map(|amount| format!("paid {amount}")),
                    read_amount(segment, 5).map(|amount| format!("of {amount}")),
                    read_amount(segment, 6).map(|amount| format!("discount {amount}")),
                    segment.non_empty_element(7).map(|code| format!("adjustment reason {code}")),
                    read_amount(segment, 8).map(|amount| format!("adjusted by {amount}")),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                self.add_line(&format!("{}: {}", join_elements(segment, 1, 2), parts.join(", ")));
            }
            "ADX" => {
                let reason = join_elements(segment, 2, 4);
                let amount = read_amount(segment, 1).unwrap_or_default();
                self.add_reference(segment.element(3).trim(), segment.non_empty_element(4));
                self.add_line(&format!("adjustment {amount}, reason {reason}"));
            }
            _ => {}
        }
    }

    fn read_adjustment_segment(&mut self, segment: &X12Segment<'_>) {
        match segment.id.to_ascii_uppercase().as_str() {
            "BCD" => {
                self.message.dated_on = parse_x12_date(segment.element(1));
                self.message.number = segment.non_empty_element(2);
                self.message.amount = read_cents(segment, 4);
                self.message.direction = describe_direction(segment.element(5));
                self.add_reference("IV", segment.non_empty_element(7));
                self.add_reference("VN", segment.non_empty_element(8));
                self.add_reference("PO", segment.non_empty_element(10));
                self.add_reference(segment.element(13).trim(), segment.non_empty_element(14));
                for (name, position) in [("invoice", 7), ("our order", 8), ("purchase order", 10)] {
                    if let Some(value) = segment.non_empty_element(position) {
                        self.add_line(&format!("{name} {value}"));
                    }
                }
            }
            "CDD" => {
                let direction = describe_direction(segment.element(2));
                let quantity = join_elements(segment, 7, 8);
                let parts = [
                    segment.non_empty_element(1).map(|code| format!("reason {code}")),
                    direction.zip(read_cents(segment, 4)).map(|(direction, amount)| format!("{direction} {amount}")),
                    (!quantity.is_empty()).then_some(quantity),
                    (segment.element(5).trim() == "Y").then(|| "returned goods".to_owned()),
                    segment.non_empty_element(3).map(|id| format!("line {id}")),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                self.add_line(&parts.join(", "));
            }
            _ => {}
        }
    }
}

/// Returns the elements from `first` to `last` that are not empty, joined by a blank.
fn join_elements(segment: &X12Segment<'_>, first: usize, last: usize) -> String {
    (first..=last).filter_map(|position| segment.non_empty_element(position)).collect::<Vec<_>>().join(" ")
}

/// Returns a decimal amount, or the text as it is.
fn read_amount(segment: &X12Segment<'_>, position: usize) -> Option<String> {
    let text = segment.non_empty_element(position)?;
    Some(decimal::normalize_decimal(&text).unwrap_or(text))
}

/// Returns an N2 amount, or the text as it is.
fn read_cents(segment: &X12Segment<'_>, position: usize) -> Option<String> {
    let text = segment.non_empty_element(position)?;
    Some(decimal::parse_n2(&text).map_or(text, |(amount, _)| amount))
}

fn describe_direction(code: &str) -> Option<String> {
    match code.trim() {
        "C" => Some("credit".to_owned()),
        "D" => Some("debit".to_owned()),
        "" => None,
        other => Some(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edi::x12::envelope::read_interchanges;
    use crate::edi::x12::text::X12Text;

    fn read_set(kind: &str, segments: &str) -> EdiMessage {
        let text = format!(
            "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~\
             GS*TX*A*B*20261124*1041*7*X*004010~ST*{kind}*0001~{segments}SE*9*0001~GE*1*7~IEA*1*000000055~"
        );
        let text = X12Text::prepare(&text);
        let file = read_interchanges(&text);
        let interchange = &file.interchanges[0];
        read_message_set(interchange, &interchange.groups[0].sets[0]).unwrap()
    }

    #[test]
    fn text_message_has_its_subject_and_all_lines() {
        let message = read_set(
            "864",
            "BMG*00*Holiday hours~REF*PO*PO1~MIT*M-1*Holiday hours~PER*IC*Ada*TE*555~MSG*The dock is closed~MSG*  on Friday.~\
             MIT*M-2*Second~MSG*More~MTX**Still more~",
        );
        assert_eq!((message.number.as_deref(), message.subject.as_deref()), (Some("M-1"), Some("Holiday hours")));
        assert_eq!(
            message.text,
            "contact: Ada TE 555\nThe dock is closed\n  on Friday.\nM-2\nSecond\nMore\nStill more"
        );
        assert_eq!(message.references, [("PO".to_owned(), "PO1".to_owned())]);
        assert_eq!(message.summarize(), "message (864), M-1, Holiday hours, contact: Ada TE 555");
        let untitled = read_set("864", "BMG*00~MIT*M-1*Second title~MSG*x~");
        assert_eq!(untitled.subject.as_deref(), Some("Second title"));
    }

    #[test]
    fn payment_states_amount_date_and_invoices() {
        let message = read_set(
            "820",
            "BPR*C*1234.50*C*ACH*CTX***********20261130~TRN*1*T-7~CUR*PR*USD~RMR*IV*INV-1**1200*1245.00*12.5~ADX*-25*01*CM*C-9~",
        );
        assert_eq!((message.number.as_deref(), message.amount.as_deref()), (Some("T-7"), Some("1234.5")));
        assert_eq!((message.currency.as_deref(), message.dated_on.as_deref()), (Some("USD"), Some("2026-11-30")));
        assert_eq!(
            message.text,
            "paid by ACH\nIV INV-1: paid 1200, of 1245, discount 12.5\nadjustment -25, reason 01 CM C-9"
        );
        assert_eq!(message.references.len(), 2);
        assert_eq!(message.summarize(), "payment advice (820), T-7, credit 1234.5 USD, paid by ACH");
    }

    #[test]
    fn adjustment_states_amount_invoice_and_reasons() {
        let message = read_set(
            "812",
            "BCD*20261124*D-5*M*2550*D*20261101*INV-1**20261020*PO1~N9*L1*X*short shipment~CDD*02*D*3*1250*Y**5*CA~CDD*01*C**x~",
        );
        assert_eq!((message.amount.as_deref(), message.direction.as_deref()), (Some("25.5"), Some("debit")));
        assert_eq!(
            message.text,
            "invoice INV-1\npurchase order PO1\nshort shipment\nreason 02, debit 12.5, 5 CA, returned goods, line 3\nreason 01, credit x"
        );
        assert_eq!(
            message.references[..2],
            [("IV".to_owned(), "INV-1".to_owned()), ("PO".to_owned(), "PO1".to_owned())]
        );
    }

    #[test]
    fn long_text_is_cut_with_a_remark() {
        let message = read_set("864", &"MSG*line of text~".repeat(5_000));
        assert!(message.text.ends_with(CUT_TEXT) && message.text.len() < TEXT_CHARS_MAX + 100);
    }
}
