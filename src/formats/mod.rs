//! Foreign formats that more than one layer reads. Pure: bytes in, values out.

pub mod decimal;
pub mod edi;
pub mod fault;
pub mod history;
pub mod keycloak;
pub mod outgoing;
pub mod purchase_order;
pub mod rsx;
pub mod sending;
pub mod x12;
