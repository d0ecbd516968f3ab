//! Keycloak's events.
