//! The header and the totals of a purchase order in words, for `sps show` and the console.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::document_purpose;
use crate::edi::purchase_order::PurchaseOrderLine;
use crate::store::erp::purchase_order_views::PurchaseOrderView;

impl PurchaseOrderView {
    /// Returns `PURCHASE ORDER 4500012345, release 2: open`.
    #[must_use]
    pub fn describe_title(&self) -> String {
        let release = if self.release.is_empty() { String::new() } else { format!(", release {}", self.release) };
        format!("PURCHASE ORDER {}{release}: {}", self.po_number, self.status)
    }

    /// Returns the fields of the header with their labels; a value that the order does not state is empty.
    #[must_use]
    pub fn list_header_fields(&self) -> Vec<(&'static str, String)> {
        let order = &self.document;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let customer = self.customer.as_ref().map_or(String::new(), |customer| format!(", customer {customer}"));
        let purpose = &order.purpose;
        vec![
            ("attention", text(&self.attention)),
            ("from", format!("{}{customer}", self.partner)),
            ("ordered", text(&self.ordered_on)),
            ("type", order.kind.as_deref().map(|kind| codes::ORDER_TYPES.describe(kind)).unwrap_or_default()),
            ("purpose", if purpose.is_empty() { String::new() } else { document_purpose::PURPOSES.describe(purpose) }),
            ("department", text(&order.department)),
            ("vendor number", text(&order.vendor)),
            ("contract", text(&order.contract)),
            ("currency", text(&self.currency)),
        ]
    }

    /// Returns the total that the order states, with its currency.
    #[must_use]
    pub fn describe_stated_total(&self) -> String {
        match &self.document.stated_total {
            Some(total) => format!("{total} {}", self.currency.as_deref().unwrap_or_default()),
            None => "none".to_owned(),
        }
    }

    /// Returns the total that the open lines add up to, and its difference to the stated one; or why there is none.
    #[must_use]
    pub fn describe_computed_total(&self) -> String {
        let currency = self.currency.as_deref().unwrap_or_default();
        let (stated, computed) = (self.document.stated_total.as_deref(), self.lines_total.as_deref());
        let number = |text: Option<&str>| text.and_then(decimal::parse_decimal);
        let difference = number(stated).zip(number(computed)).map(|(stated, computed)| stated - computed);
        let difference = match difference {
            Some(difference) if !difference.is_zero() => {
                format!("; the stated total differs by {}", difference.normalize())
            }
            _ => String::new(),
        };
        match computed {
            Some(total) => format!("{total} {currency} (quantity × price of the open lines{difference})"),
            None => self.describe_missing_total(),
        }
    }

    /// Returns why there is no computed total: the first line whose amount is not certain.
    fn describe_missing_total(&self) -> String {
        let lines = self.document.lines.iter().enumerate();
        let open = lines.filter(|(index, _)| self.lines.get(*index).is_none_or(|shown| shown.status != "cancelled"));
        let open: Vec<(usize, &PurchaseOrderLine)> = open.collect();
        let lines: Vec<&PurchaseOrderLine> = open.iter().map(|(_, line)| *line).collect();
        if let Some(obstacle) = self.document.currency_obstacle(&lines) {
            return format!("none: {obstacle}");
        }
        let mut obstacles = open.into_iter().filter_map(|(index, line)| Some((index, line, line.amount_obstacle()?)));
        match obstacles.next() {
            Some((index, line, obstacle)) => {
                let number = line.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
                format!("none: the amount of line {number} is not certain, because {obstacle}")
            }
            None => "none".to_owned(),
        }
    }
}
