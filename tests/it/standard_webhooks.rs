//! Signatures of HTTP deliveries, checked by the official libraries of Standard Webhooks and by the samples of
//! docs/erp-integration.md.

use crate::support::destinations::{home_with_destinations, http_destination, send_orders, wait_until_delivered};
use crate::support::fake_erp::{FakeErp, ReceivedRequest, Reply};
use crate::support::libraries::Language::{JavaScript, Python};
use crate::support::libraries::{Language, run_program_ok};
use crate::support::root;
use serde_json::{Value, json};
use std::fs;

/// Every form of a secret that `config check` accepts. The third ones have unused bits that are not zero.
const ACCEPTED: [&str; 8] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0=",
    "whsec_+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB1",
    "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0",
    "whsec_+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHA==",
    "whsec_+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB==",
    "+/8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHA",
];

/// Delivers one order with a signature by `secrets`; returns the request as the ERP received it.
fn deliver_signed(secrets: &[&str]) -> ReceivedRequest {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let references: Vec<String> = (0..secrets.len()).map(|index| format!("\"file:secret-{index}\"")).collect();
    let home = home_with_destinations(|home| {
        for (index, secret) in secrets.iter().enumerate() {
            fs::write(home.path(&format!("secret-{index}")), format!("{secret}\n")).unwrap();
        }
        http_destination("erp", &erp.url, "").replace("\"file:erp\"", &references.join(", "))
    });
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    erp.requests().remove(0)
}

fn request_json(secret: &str, request: &ReceivedRequest) -> Value {
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({"secret": secret, "headers": headers, "body": String::from_utf8(request.body.clone()).unwrap()})
}

/// Each prints one line for each request: `ok` if the library accepts it and refuses it with another body. The clock of
/// the library shows the time of the request, so that a slow machine does not make the request too old.
const LIBRARY_PROGRAMS: [(Language, &str); 2] = [
    (
        Python,
        r#"
import datetime, json, sys
import standardwebhooks.webhooks
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(int(case["headers"]["webhook-timestamp"]), tz)
standardwebhooks.webhooks.datetime = Clock
for case in json.load(sys.stdin):
    webhook = Webhook(case["secret"])
    webhook.verify(case["body"].encode(), case["headers"])
    try:
        webhook.verify((case["body"] + " ").encode(), case["headers"])
        print("accepted another body")
    except WebhookVerificationError:
        print("ok")
"#,
    ),
    (
        JavaScript,
        r#"
import { readFileSync } from "node:fs";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
for (const { secret, headers, body } of JSON.parse(readFileSync(0, "utf8"))) {
  Date.now = () => Number(headers["webhook-timestamp"]) * 1000;
  const webhook = new Webhook(secret);
  webhook.verify(Buffer.from(body), headers);
  try {
    webhook.verify(Buffer.from(body + " "), headers);
    console.log("accepted another body");
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log("ok");
  }
}
"#,
    ),
];

#[test]
fn official_libraries_verify_every_accepted_form_of_a_secret() {
    let mut cases: Vec<Value> =
        ACCEPTED.iter().map(|secret| request_json(secret, &deliver_signed(&[secret]))).collect();
    // During a rotation each of the two secrets verifies.
    let (old, new) = (ACCEPTED[0], ACCEPTED[3]);
    let rotation = deliver_signed(&[old, new]);
    cases.extend([old, new].map(|secret| request_json(secret, &rotation)));
    let input = Value::from(cases.clone()).to_string();
    for (language, program) in LIBRARY_PROGRAMS {
        assert_eq!(run_program_ok(language, program, &input), "ok\n".repeat(cases.len()), "{language:?}");
    }
}

#[test]
fn config_check_refuses_a_secret_that_a_library_reads_differently() {
    for (secret, expected) in [
        ("whsec_-_8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0=", "URL-safe base64"),
        ("whsec_", "has no key after whsec_"),
        ("correct horse battery staple", "is not base64"),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "asymmetric"),
    ] {
        let home = home_with_destinations(|home| {
            fs::write(home.path("bad"), secret).unwrap();
            http_destination("erp", "http://127.0.0.1:9", "").replace("file:erp", "file:bad")
        });
        let output = home.run(&["config", "check"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{secret}: {text}");
        assert!(text.contains(expected) && text.contains("openssl rand -base64 32"), "{secret}: {text}");
        let shown = secret.trim_start_matches("whsec_").trim_start_matches("whsk_");
        assert!(shown.is_empty() || !text.contains(shown), "the secret is not printed: {text}");
    }
}

/// Returns the code of a sample: the first code block after the heading.
fn read_sample(heading: &str) -> String {
    let page = fs::read_to_string(root().join("docs/erp-integration.md")).unwrap();
    let section = page.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let code = section.split("```").nth(1).unwrap();
    code.split_once('\n').unwrap().1.to_owned()
}

/// Each calls the sample's function for each request with its own time, with another body and at a later time.
const SAMPLE_PROGRAMS: [(Language, &str, &str); 2] = [
    (
        Python,
        "Python",
        r#"
import json, sys
for case in json.load(sys.stdin):
    secret, headers, body = case["secret"], case["headers"], case["body"].encode()
    now = int(headers["webhook-timestamp"])
    late = is_authentic(secret, headers, body, now + TOLERANCE_SECONDS + 1)
    print(is_authentic(secret, headers, body, now), is_authentic(secret, headers, body + b" ", now), late,
          is_authentic(secret, {}, body, now))
"#,
    ),
    (
        JavaScript,
        "Node.js",
        r#"
import { readFileSync } from "node:fs";
const show = (flag) => (flag ? "True" : "False");
for (const { secret, headers, body } of JSON.parse(readFileSync(0, "utf8"))) {
  const now = Number(headers["webhook-timestamp"]);
  const results = [
    isAuthentic(secret, headers, Buffer.from(body), now),
    isAuthentic(secret, headers, Buffer.from(body + " "), now),
    isAuthentic(secret, headers, Buffer.from(body), now + TOLERANCE_SECONDS + 1),
    isAuthentic(secret, {}, Buffer.from(body), now),
  ];
  console.log(results.map(show).join(" "));
}
"#,
    ),
];

#[test]
fn samples_of_the_document_verify_every_accepted_form_of_a_secret() {
    let mut cases: Vec<Value> =
        ACCEPTED.iter().map(|secret| request_json(secret, &deliver_signed(&[secret]))).collect();
    let vector = json!({
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
    cases.push(json!({"secret": ACCEPTED[0], "headers": vector, "body": r#"{"test": 2432232314}"#}));
    let input = Value::from(cases.clone()).to_string();
    for (language, heading, calls) in SAMPLE_PROGRAMS {
        let program = read_sample(heading) + calls;
        let expected = "True False False False\n".repeat(cases.len());
        assert_eq!(run_program_ok(language, &program, &input), expected, "{language:?}");
    }
}
