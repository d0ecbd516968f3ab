//! An OpenID provider: it publishes its keys, gives codes, and exchanges each code once for a token that it signs.

use super::Home;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use novex_ingest::internals::clock::Clock;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

pub const CLIENT_ID: &str = "novex-console";
/// It has characters that a form value encodes.
pub const CLIENT_SECRET: &str = "client secret+of:novex%";
pub const REDIRECT_URI: &str = "https://box.example.com:8444/login/oidc/callback";

/// How the provider signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Right,
    /// By a key that it does not publish, under the id of the published one.
    ForeignKey,
    /// Algorithm `none`, without a signature.
    Unsigned,
    /// HS256, with the published key as the shared secret.
    PublicKeyAsSecret,
}

/// State of the provider, which a test changes.
pub struct OidcState {
    pub signing: Signing,
    /// Claims of the next tokens over the right ones; null removes one.
    pub claims: Value,
    /// The id that discovery states; None for the right one.
    pub stated_issuer: Option<String>,
    keys: Vec<(String, RsaKeyPair)>,
    /// Challenge and nonce of each code.
    codes: HashMap<String, (String, String)>,
    pub requests: Vec<String>,
}

pub struct FakeOidc {
    pub issuer: String,
    pub state: Arc<Mutex<OidcState>>,
}

impl FakeOidc {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}/realms/acme", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(OidcState {
            signing: Signing::Right,
            claims: json!({}),
            stated_issuer: None,
            keys: vec![("key-1".to_owned(), generate_key())],
            codes: HashMap::new(),
            requests: Vec::new(),
        }));
        let (accepting, base) = (state.clone(), issuer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, base) = (accepting.clone(), base.clone());
                std::thread::spawn(move || while serve_request(&stream, &state, &base).is_some() {});
            }
        });
        Self { issuer, state }
    }

    /// Returns a home whose console knows this provider.
    pub fn home(&self) -> Home {
        let home = Home::new("");
        fs::write(home.path("oidc"), format!("{CLIENT_SECRET}\n")).unwrap();
        home.configure(&format!(
            "[console]\nlisten = \"127.0.0.1:0\"\n[console.oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
             secrets = [\"file:oidc\"]\nredirect_uri = \"{REDIRECT_URI}\"\n",
            self.issuer
        ));
        home
    }

    /// Signs a person in at the provider, to which a browser came with `query`. Returns the code.
    pub fn authorize(&self, query: &HashMap<String, String>) -> String {
        assert_eq!(
            [&query["response_type"], &query["client_id"], &query["redirect_uri"], &query["code_challenge_method"]],
            ["code", CLIENT_ID, REDIRECT_URI, "S256"]
        );
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{query:?}");
        let mut state = self.state.lock().unwrap();
        let code = format!("code-{}", state.codes.len() + state.requests.len());
        state.codes.insert(code.clone(), (query["code_challenge"].clone(), query["nonce"].clone()));
        code
    }

    /// Replaces the key, as a provider does from time to time.
    pub fn rotate_key(&self) {
        let mut state = self.state.lock().unwrap();
        let name = format!("key-{}", state.keys.len() + 1);
        state.keys.insert(0, (name, generate_key()));
        state.keys.truncate(1);
    }

    pub fn set_claims(&self, claims: Value) {
        self.state.lock().unwrap().claims = claims;
    }

    pub fn set_signing(&self, signing: Signing) {
        self.state.lock().unwrap().signing = signing;
    }

    /// Returns how often a path was asked for.
    pub fn count_requests(&self, path: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| request.ends_with(path)).count()
    }
}

fn generate_key() -> RsaKeyPair {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"];
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    RsaKeyPair::from_der(&output.stdout)
        .or_else(|_| RsaKeyPair::from_pkcs8(&output.stdout))
        .expect("openssl writes a key")
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn public_parts(key: &RsaKeyPair) -> RsaPublicKeyComponents<Vec<u8>> {
    RsaPublicKeyComponents::from(key.public())
}

impl OidcState {
    fn build_token(&self, issuer: &str, nonce: &str) -> String {
        let now = Clock::system().now().as_second();
        let mut claims = json!({
            "iss": issuer, "aud": CLIENT_ID, "azp": CLIENT_ID, "sub": "f3b1", "preferred_username": "greta",
            "nonce": nonce, "iat": now, "exp": now + 300, "realm_access": {"roles": ["offline_access", "novex-operator"]}
        });
        for (name, value) in self.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let (id, key) = &self.keys[0];
        let alg = match self.signing {
            Signing::Right | Signing::ForeignKey => "RS256",
            Signing::Unsigned => "none",
            Signing::PublicKeyAsSecret => "HS256",
        };
        let header = json!({"alg": alg, "typ": "JWT", "kid": id});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let sign = |key: &RsaKeyPair| {
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
            signature
        };
        let signature = match self.signing {
            Signing::Right => sign(key),
            Signing::ForeignKey => sign(&generate_key()),
            Signing::Unsigned => Vec::new(),
            Signing::PublicKeyAsSecret => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&public_parts(key).n).unwrap();
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
        };
        format!("{signed}.{}", encode(&signature))
    }

    /// Returns status and body for an exchange of a code.
    fn exchange(&mut self, issuer: &str, authorization: &str, body: &[u8]) -> (u16, Value) {
        let refuse = |error: &str| (400, json!({ "error": error }));
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let pair: String = BASE64_STANDARD
            .decode(authorization.strip_prefix("Basic ").unwrap_or_default())
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .unwrap();
        let decode = |text: &str| form_urlencoded::parse(format!("v={text}").as_bytes()).next().unwrap().1.into_owned();
        let (id, secret) = pair.split_once(':').unwrap();
        if (decode(id).as_str(), decode(secret).as_str()) != (CLIENT_ID, CLIENT_SECRET) {
            return refuse("invalid_client");
        }
        let Some((challenge, nonce)) = self.codes.remove(&form["code"]) else { return refuse("invalid_grant") };
        if encode(&Sha256::digest(form["code_verifier"].as_bytes())) != challenge
            || form["redirect_uri"] != REDIRECT_URI
        {
            return refuse("invalid_grant");
        }
        let token = self.build_token(issuer, &nonce);
        (200, json!({"access_token": "access", "token_type": "Bearer", "id_token": token}))
    }
}

/// Serves one request of a connection; returns `None` at its end.
fn serve_request(stream: &TcpStream, state: &Mutex<OidcState>, issuer: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let mut pairs = head.iter().filter_map(|line| line.split_once(": "));
        pairs.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let mut state = state.lock().unwrap();
    state.requests.push(path.clone());
    let (status, answer) = match path.strip_prefix("/realms/acme") {
        Some("/.well-known/openid-configuration") => (
            200,
            json!({
                "issuer": state.stated_issuer.clone().unwrap_or_else(|| issuer.to_owned()),
                "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/certs"), "authorization_response_iss_parameter_supported": true
            }),
        ),
        Some("/certs") => {
            let to_json = |(id, key): &(String, RsaKeyPair)| {
                let parts = public_parts(key);
                json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id, "n": encode(&parts.n), "e": encode(&parts.e)})
            };
            (200, json!({"keys": state.keys.iter().map(to_json).collect::<Vec<_>>()}))
        }
        Some("/token") => state.exchange(issuer, &header("authorization").unwrap_or_default(), &body),
        _ => (404, json!({})),
    };
    let text = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
    let mut writer = stream;
    write!(writer, "{head}{text}").ok()
}
