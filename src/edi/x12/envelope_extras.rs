//! Values of ISA and GS that no field of an order has.

use crate::edi::purchase_order::OrderExtra;
use crate::edi::x12::Interchange;
use crate::edi::x12::tokenizer::{X12Segment, trim_fillers};

/// Returns the authorization of an ISA and the length of its password. The password itself stays in the file only.
pub(crate) fn list_interchange_extras(isa: &X12Segment<'_>) -> Vec<OrderExtra> {
    let text = |position| trim_fillers(isa.element(position)).to_owned();
    let authorization = Some(text(2)).filter(|text| !text.is_empty());
    let password = Some(text(4)).filter(|text| !text.is_empty());
    let password = password.map(|text| format!("{} characters, which only the file has", text.chars().count()));
    let build = |location: &str, name: &str, value: Option<String>| {
        let (location, name) = (location.to_owned(), Some(name.to_owned()));
        value.map(|value| OrderExtra { location, name, value })
    };
    let extras = [build("ISA02", "authorization", authorization), build("ISA04", "password", password)];
    extras.into_iter().flatten().collect()
}

/// Returns the values of the envelope that no field of an order has: those of the ISA, and the parties of the group, if
/// they are not those of the interchange.
pub(crate) fn list_envelope_extras(interchange: &Interchange<'_>, sender: &str, receiver: &str) -> Vec<OrderExtra> {
    let mut extras = interchange.extras.clone();
    for (location, name, of_group, of_interchange) in [
        ("GS02", "sender of the group", sender, &interchange.sender.1),
        ("GS03", "receiver of the group", receiver, &interchange.receiver.1),
    ] {
        if !of_group.is_empty() && of_group != of_interchange {
            let (location, name) = (location.to_owned(), Some(name.to_owned()));
            extras.push(OrderExtra { location, name, value: of_group.to_owned() });
        }
    }
    extras
}
