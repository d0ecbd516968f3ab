//! Sign-in through an OpenID provider such as Keycloak: authorization code with PKCE (RFC 6749, RFC 7636, OpenID
//! Connect Core 1.0).
//!
//! - [`provider`] asks the provider for its addresses, its keys and the tokens.
//! - [`sign_in`] sends the browser there, and takes it back.

pub mod provider;
pub mod sign_in;
