//! `customers/…` → `customers`. The privacy topics are in `privacy`.

use super::{ADDRESS, fact, list, required, resource};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{parse, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::tables::CUSTOMERS;

const CUSTOMER: &[Field] = &[
    Field("email", Kind::Text, "email"),
    Field("phone", Kind::Text, "phone"),
    Field("first_name", Kind::Text, "first_name"),
    Field("last_name", Kind::Text, "last_name"),
    Field("state", Kind::Text, "state"),
    Field("note", Kind::Text, "note"),
    Field("tags", Kind::Text, "tags"),
    Field("currency", Kind::Text, "currency"),
    Field("tax_exempt", Kind::Flag, "tax_exempt"),
    Field("verified_email", Kind::Flag, "verified_email"),
    Field("default_address_id", Kind::Id, "default_address.id"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// `customers/create`, `update`, `enable`, `disable`: all carry the customer.
pub struct Customers;

impl Handler for Customers {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let id = required(&body, "id", CUSTOMERS)?;
        let mut row = resource(event, CUSTOMERS, &body, CUSTOMER)?;
        let columns: Vec<Field> = [Field("address_id", Kind::Id, "id")]
            .into_iter()
            .chain(ADDRESS)
            .chain([Field("is_default", Kind::Flag, "default")])
            .collect();
        row.lists.extend(list("customer_addresses", body.get("addresses"), &columns, true)?);
        Ok(Done { changes: vec![Change::Row(row)], subjects: vec![Subject::new("customer", id)], ..Done::default() })
    }
}

/// `customers/merge`: the one that went away points to the one that stayed.
pub struct Merged;

impl Handler for Merged {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let number = |field| body.get(field).and_then(fields::id);
        let (kept, gone) =
            (number("admin_graphql_api_customer_kept_id"), number("admin_graphql_api_customer_deleted_id"));
        let (Some(kept), Some(gone)) = (kept, gone) else {
            return Err(Trouble::Permanent("the body does not say which two customers were merged".to_owned()));
        };
        let subjects = vec![Subject::new("customer", kept), Subject::new("customer", gone)];
        if text(&body, "status").as_deref() != Some("completed") {
            let note = Some("Shopify did not complete this merge: nothing to write".to_owned());
            return Ok(Done { subjects, note, ..Done::default() });
        }
        let row = fact(event, CUSTOMERS, vec![gone.into()], vec![("merged_into", kept.into())]);
        Ok(Done { changes: vec![Change::Row(row)], subjects, ..Done::default() })
    }
}
