//! ID tokens of an OpenID provider: signature, issuer, audience, times and nonce (OpenID Connect Core 1.0, section
//! 3.1.3.7). Pure.

use crate::clock::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

/// Most seconds by which the clocks of this machine and of the provider may differ.
const LEEWAY_SECONDS: i64 = 60;
/// Most bytes of a token.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// First byte of an uncompressed point of a curve (SEC 1, section 2.3.3).
const UNCOMPRESSED_POINT: u8 = 4;

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("the ID token is no signed JWT")]
    Malformed,
    #[error("the ID token is not signed with RS256 or ES256")]
    Algorithm,
    #[error("the provider publishes no key that signed the ID token")]
    UnknownKey,
    #[error("the signature of the ID token is wrong")]
    Signature,
    #[error("the ID token is of another issuer")]
    Issuer,
    #[error("the ID token is for another client")]
    Audience,
    #[error("the ID token expired, or the clocks differ by more than a minute")]
    Expired,
    #[error("the ID token is not valid yet, or the clocks differ by more than a minute")]
    NotYetValid,
    #[error("the ID token belongs to another sign-in")]
    Nonce,
    #[error("the ID token names nobody")]
    Subject,
}

/// What a token must state.
#[derive(Debug, Clone, Copy)]
pub struct TokenExpectation<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now: Timestamp,
}

/// Algorithms whose signatures count. All others, also `none` and those with a shared key, count nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenAlgorithm {
    Rs256,
    Es256,
}

impl TokenAlgorithm {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key of the provider. Its kind decides the algorithm, never the token.
#[derive(Debug, Clone)]
enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { point: Vec<u8> },
}

/// The published keys of a provider (RFC 7517).
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<(Option<String>, PublicKey)>);

#[derive(Deserialize)]
struct JsonKeySet {
    keys: Vec<JsonKey>,
}

#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    /// Names extensions that a reader must understand; this one understands none.
    crit: Option<Value>,
}

impl KeySet {
    /// Reads a key set. Skips the keys of other kinds and for other uses. Returns None if the text is no key set.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: JsonKeySet = serde_json::from_slice(text).ok()?;
        Some(Self(set.keys.into_iter().filter_map(|key| Some((key.kid.clone(), read_key(&key)?))).collect()))
    }

    /// Returns the key of a token. A token without a key id fits if one key alone has the algorithm.
    fn find(&self, algorithm: TokenAlgorithm, id: Option<&str>) -> Option<&PublicKey> {
        let fits = |key: &PublicKey| {
            matches!(
                (key, algorithm),
                (PublicKey::Rsa { .. }, TokenAlgorithm::Rs256) | (PublicKey::P256 { .. }, TokenAlgorithm::Es256)
            )
        };
        let mut found = self.0.iter().filter(|(key_id, key)| fits(key) && (id.is_none() || key_id.as_deref() == id));
        let (_, key) = found.next()?;
        (id.is_some() || found.next().is_none()).then_some(key)
    }
}

fn read_key(key: &JsonKey) -> Option<PublicKey> {
    let decode = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let is_alg = |name: &str| key.alg.as_deref().is_none_or(|alg| alg == name);
    match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) if is_alg("RS256") => Some(PublicKey::Rsa { n: decode(&key.n)?, e: decode(&key.e)? }),
        ("EC", Some("P-256")) if is_alg("ES256") => {
            let (x, y) = (decode(&key.x)?, decode(&key.y)?);
            Some(PublicKey::P256 { point: [&[UNCOMPRESSED_POINT], x.as_slice(), &y].concat() })
        }
        _ => None,
    }
}

impl PublicKey {
    fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Self::P256 { point } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
        }
    }
}

/// Checks a token and returns its claims.
pub fn verify_id_token(token: &str, keys: &KeySet, expected: TokenExpectation<'_>) -> Result<Value, IdTokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(IdTokenError::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(IdTokenError::Malformed);
    };
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| IdTokenError::Malformed);
    let header: TokenHeader = serde_json::from_slice(&decode(head)?).map_err(|_| IdTokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(IdTokenError::Malformed);
    }
    let algorithm = TokenAlgorithm::from_name(&header.alg).ok_or(IdTokenError::Algorithm)?;
    let key = keys.find(algorithm, header.kid.as_deref()).ok_or(IdTokenError::UnknownKey)?;
    let signed = &token[..head.len() + 1 + claims.len()];
    if !key.is_signed(signed.as_bytes(), &decode(signature)?) {
        return Err(IdTokenError::Signature);
    }
    let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| IdTokenError::Malformed)?;
    check_claims(&claims, expected)?;
    Ok(claims)
}

fn check_claims(claims: &Value, expected: TokenExpectation<'_>) -> Result<(), IdTokenError> {
    if claims["iss"].as_str() != Some(expected.issuer) {
        return Err(IdTokenError::Issuer);
    }
    check_audience(claims, expected.client_id)?;
    let now = expected.now.as_second();
    // A time may have a fraction (RFC 7519, section 2).
    let time = |name: &str| claims[name].as_f64();
    #[expect(clippy::cast_precision_loss, reason = "seconds fit into 53 bits")]
    let (earliest, latest) = ((now - LEEWAY_SECONDS) as f64, (now + LEEWAY_SECONDS) as f64);
    if time("exp").is_none_or(|end| end <= earliest) {
        return Err(IdTokenError::Expired);
    }
    if time("iat").is_none_or(|issued| issued > latest) || time("nbf").is_some_and(|start| start > latest) {
        return Err(IdTokenError::NotYetValid);
    }
    let nonce = claims["nonce"].as_str().unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(IdTokenError::Nonce);
    }
    if claims["sub"].as_str().is_none_or(str::is_empty) {
        return Err(IdTokenError::Subject);
    }
    Ok(())
}

fn check_audience(claims: &Value, client_id: &str) -> Result<(), IdTokenError> {
    let is_for_client = match &claims["aud"] {
        Value::String(audience) => audience == client_id,
        // A token for several clients names the one that asked for it.
        Value::Array(audiences) => {
            audiences.iter().any(|audience| audience == client_id)
                && (audiences.len() == 1 || claims["azp"] == client_id)
        }
        _ => false,
    };
    let is_requested_by_client = claims["azp"].is_null() || claims["azp"] == client_id;
    if is_for_client && is_requested_by_client { Ok(()) } else { Err(IdTokenError::Audience) }
}

/// Returns the texts at a path of names with dots between them: a text, or a list of texts.
#[must_use]
pub fn find_claim_texts<'c>(claims: &'c Value, path: &str) -> Vec<&'c str> {
    // A name may have dots itself, as the URLs of some providers have.
    let found = claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, name| value.get(name)));
    match found {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn encode(bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
        }

        fn json_key(&self, id: &str) -> Value {
            let point = self.0.public_key().as_ref();
            json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": encode(&point[1..33]), "y": encode(&point[33..])})
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", encode(signature.as_ref()))
        }
    }

    fn key_set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn verify(token: &str, keys: &KeySet) -> Result<Value, IdTokenError> {
        let now = Timestamp::from_second(NOW).unwrap();
        let expected = TokenExpectation { issuer: "https://id.example.com", client_id: "novex", nonce: "n-1", now };
        verify_id_token(token, keys, expected)
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example.com", "aud": "novex", "sub": "u-1", "nonce": "n-1", "iat": NOW, "exp": NOW + 60
        })
    }

    #[test]
    fn each_claim_must_fit() {
        let signer = Signer::new();
        let keys = key_set(&[signer.json_key("k")]);
        let header = json!({"alg": "ES256", "kid": "k"});
        assert!(verify(&signer.sign(&header, &claims()), &keys).is_ok());
        for (name, value, error) in [
            ("iss", json!("https://id.example.com/"), IdTokenError::Issuer),
            ("iss", json!(null), IdTokenError::Issuer),
            ("aud", json!("other"), IdTokenError::Audience),
            ("aud", json!(["novex", "other"]), IdTokenError::Audience),
            ("aud", json!([]), IdTokenError::Audience),
            ("azp", json!("other"), IdTokenError::Audience),
            ("exp", json!(NOW - 61), IdTokenError::Expired),
            ("exp", json!("never"), IdTokenError::Expired),
            ("iat", json!(NOW + 61), IdTokenError::NotYetValid),
            ("nbf", json!(NOW + 61), IdTokenError::NotYetValid),
            ("nonce", json!("n-2"), IdTokenError::Nonce),
            ("nonce", json!(null), IdTokenError::Nonce),
            ("sub", json!(""), IdTokenError::Subject),
        ] {
            let mut changed = claims();
            changed[name] = value.clone();
            assert_eq!(verify(&signer.sign(&header, &changed), &keys), Err(error), "{name} = {value}");
        }
        let mut several = claims();
        (several["aud"], several["azp"]) = (json!(["other", "novex"]), json!("novex"));
        assert!(verify(&signer.sign(&header, &several), &keys).is_ok());
    }

    #[test]
    fn only_signatures_of_published_keys_count() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let keys = key_set(&[signer.json_key("k")]);
        let sign = |header: Value| signer.sign(&header, &claims());
        let right = sign(json!({"alg": "ES256"}));
        assert!(verify(&right, &keys).is_ok(), "one key alone fits");
        let mut unsigned = sign(json!({"alg": "none"}));
        unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
        for (token, error) in [
            (unsigned, IdTokenError::Algorithm),
            (sign(json!({"alg": "HS256", "kid": "k"})), IdTokenError::Algorithm),
            (sign(json!({"alg": "es256", "kid": "k"})), IdTokenError::Algorithm),
            (sign(json!({"alg": "RS256", "kid": "k"})), IdTokenError::UnknownKey),
            (sign(json!({"alg": "ES256", "kid": "other"})), IdTokenError::UnknownKey),
            (sign(json!({"alg": "ES256", "kid": "k", "crit": ["x"]})), IdTokenError::Malformed),
            (stranger.sign(&json!({"alg": "ES256", "kid": "k"}), &claims()), IdTokenError::Signature),
            (format!("{right}A"), IdTokenError::Signature),
            (format!("{right}="), IdTokenError::Malformed),
            (right.replacen('.', "", 1), IdTokenError::Malformed),
            (format!("{right}.{right}"), IdTokenError::Malformed),
        ] {
            assert_eq!(verify(&token, &keys), Err(error), "{token}");
        }
        let mut for_encryption = signer.json_key("k");
        for_encryption["use"] = json!("enc");
        assert_eq!(verify(&right, &key_set(&[for_encryption])), Err(IdTokenError::UnknownKey));
        let two = key_set(&[signer.json_key("k"), stranger.json_key("l")]);
        assert_eq!(verify(&right, &two), Err(IdTokenError::UnknownKey), "two keys fit a token without a key id");
    }

    #[test]
    fn roles_are_found_at_their_path() {
        let claims = json!({"realm_access": {"roles": ["a", 1, "b"]}, "role": "c", "https://x.example/roles": ["d"]});
        assert_eq!(find_claim_texts(&claims, "realm_access.roles"), ["a", "b"]);
        assert_eq!(find_claim_texts(&claims, "role"), ["c"]);
        assert_eq!(find_claim_texts(&claims, "https://x.example/roles"), ["d"]);
        assert!(find_claim_texts(&claims, "realm_access.groups").is_empty());
    }
}
