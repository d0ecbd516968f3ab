//! Behaviour tests: they drive the real binary over real TLS and look at its database with the system's sqlite3.
//!
//! One binary, because it links once. Each file is a theme.

mod util;
