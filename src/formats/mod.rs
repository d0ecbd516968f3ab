//! Foreign formats that more than one layer reads. Pure: bytes in, values out.

pub mod keycloak;
