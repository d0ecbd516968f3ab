//! Received documents that a person reads: text messages (864), payment advices (820), credits and debits (812).

/// One document for a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdiMessage {
    /// 864, 820 or 812.
    pub kind: String,
    /// Sender (ISA06).
    pub partner: String,
    pub is_test: bool,
    /// The partner's number: of the message (MIT01), the payment (TRN02), or the adjustment (BCD02).
    pub number: Option<String>,
    /// Subject of an 864.
    pub subject: Option<String>,
    /// Amount of an 820 or 812, without a sign.
    pub amount: Option<String>,
    /// `credit` or `debit`, as the partner states it.
    pub direction: Option<String>,
    pub currency: Option<String>,
    /// Day of the payment or the adjustment.
    pub dated_on: Option<String>,
    /// Numbers that it names, such as invoices and orders, each with its qualifier.
    pub references: Vec<(String, String)>,
    /// Its text, or its facts in words; one or more lines.
    pub text: String,
}

/// Most characters of a summary.
const SUMMARY_CHARS_MAX: usize = 200;

/// Returns what people call a kind of message.
#[must_use]
pub fn describe_message_kind(kind: &str) -> &'static str {
    match kind {
        "820" => "payment advice (820)",
        "812" => "credit or debit (812)",
        _ => "message (864)",
    }
}

impl EdiMessage {
    /// Returns the message in one line: its kind, number, amount, and the beginning of its text.
    #[must_use]
    pub fn summarize(&self) -> String {
        let amount = self.amount.as_ref().map(|amount| {
            let parts = [self.direction.as_ref(), Some(amount), self.currency.as_ref()];
            parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ")
        });
        let first_line = self.text.lines().next().map(str::to_owned);
        let mut parts: Vec<String> = vec![describe_message_kind(&self.kind).to_owned()];
        parts.extend([self.number.clone(), amount, self.subject.clone(), first_line].into_iter().flatten());
        parts.dedup();
        parts.join(", ").chars().take(SUMMARY_CHARS_MAX).collect()
    }
}
