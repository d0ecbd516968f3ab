//! Every command, for people and with `--json`; the configuration's mistakes; exit statuses.

use crate::util::{BIN, Home, KEYCLOAK_SECRET, SECRET, order};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} is no JSON"))).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Three orders, one of them broken, one EasyPost and one Keycloak event, all worked.
fn worked() -> Home {
    let home = Home::new("");
    let daemon = home.serve();
    for id in 1..=2 {
        daemon.deliver(&format!("w{id}"), &order(id));
    }
    daemon.deliver("broken", b"\xff\0 no JSON");
    daemon.request(&crate::util::easypost(br#"{"id":"evt_1","description":"tracker.updated"}"#));
    daemon.request(&crate::util::keycloak(br#"{"id":"k1","type":"LOGIN"}"#));
    home.wait_until_worked();
    daemon.stop();
    home
}

#[test]
fn lists_filter_and_print_for_people_and_programs() {
    let home = worked();
    let ids = |arguments: &[&str]| -> Vec<i64> {
        let arguments = [&["events", "list", "--json"], arguments].concat();
        json_lines(&home.ok(&arguments)).iter().map(|event| event["id"].as_i64().unwrap()).collect()
    };
    let all = ids(&[]);
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|one, other| one > other), "the newest first");
    assert_eq!(ids(&["--status", "failed"]).len(), 1);
    assert_eq!(ids(&["--status", "received"]).len(), 0);
    assert_eq!(ids(&["--source", "easypost"]).len(), 1);
    assert_eq!(ids(&["--topic", "orders/*"]).len(), 3);
    assert_eq!(ids(&["--topic", "orders"]).len(), 0);
    assert_eq!(ids(&["--since", "1h"]).len(), 5);
    assert_eq!(ids(&["--since", "1d"]).len(), 5);
    assert_eq!(ids(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(ids(&["--limit", "2"]), all[..2]);

    let table = home.ok(&["events", "list"]);
    assert_eq!(table.lines().count(), 6);
    assert!(table.starts_with("ID ") && table.contains("orders/create") && table.contains("not JSON"), "{table}");
    assert!(!table.contains('\x1b'), "no colour where nobody looks");
    assert!(home.ok(&["events", "list", "--status", "received"]).contains("No such events"));
}

#[test]
fn one_event_is_shown_with_its_trail_and_its_bytes() {
    let home = worked();
    let id = home.sql("SELECT id FROM failures");
    let shown = home.ok(&["events", "show", &id]);
    for part in ["failed", "received → processing", "processing → failed", "not JSON", "broken"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let json: Value = serde_json::from_str(&home.ok(&["events", "show", &id, "--json"])).unwrap();
    assert_eq!((json["status"].as_str(), json["steps"].as_array().map(Vec::len)), (Some("failed"), Some(3)));
    assert_eq!(json["headers"]["x-shopify-webhook-id"], "broken");
    assert_eq!(home.run(&["events", "show", &id, "--body"]).stdout, b"\xff\0 no JSON");

    let missing = home.run(&["events", "show", "999"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(stderr(&missing).lines().count(), 1, "{}", stderr(&missing));
    assert!(stderr(&missing).contains("there is no event 999"));
}

#[test]
fn an_export_holds_the_bytes_as_they_came() {
    use base64::Engine;
    let home = worked();
    let lines = json_lines(&home.ok(&["events", "export"]));
    assert_eq!(lines.len(), 5);
    for line in lines {
        let body = base64::engine::general_purpose::STANDARD.decode(line["body_base64"].as_str().unwrap()).unwrap();
        let kept = home.sql(&format!("SELECT hex(body) FROM webhook_payloads WHERE event_id = {}", line["id"]));
        assert!(kept.eq_ignore_ascii_case(&hex::encode(body)));
    }
    assert_eq!(json_lines(&home.ok(&["events", "export", "--source", "keycloak"])).len(), 1);
}

#[test]
fn stats_say_what_the_tables_say() {
    let home = worked();
    let json: Value = serde_json::from_str(&home.ok(&["stats", "--json"])).unwrap();
    let count = |source: &str, status: &str| {
        let counts = json["counts"].as_array().unwrap().iter();
        let mut fitting = counts.filter(|count| count["source"] == source && count["status"] == status);
        fitting.next().map_or(0, |count| count["events"].as_i64().unwrap())
    };
    assert_eq!((count("shopify", "completed"), count("shopify", "failed"), count("easypost", "completed")), (2, 1, 1));
    assert_eq!(json["last_hour"]["received"], 5);
    assert_eq!(json["oldest_pending_at"], Value::Null);
    assert!(home.ok(&["stats"]).contains("oldest pending   none"));
}

#[test]
fn retry_says_what_it_did_and_what_it_left() {
    let home = worked();
    let id = home.sql("SELECT id FROM failures");
    assert!(home.ok(&["events", "retry", &id]).contains(&format!("event {id} was failed and is due now")));
    assert_eq!(home.sql(&format!("SELECT status, max_attempts FROM webhook_events WHERE id = {id}")), "received|9");
    assert!(home.ok(&["events", "retry", "--topic", "nothing/*"]).contains("No such events"));
    let done = home.ok(&["events", "retry", "--status", "completed", "--source", "easypost"]);
    assert!(done.contains("was completed"), "{done}");
    let unknown = home.run(&["events", "retry", "999"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(home.run(&["events", "retry"]).status.code(), Some(2), "neither numbers nor a filter");
    assert_eq!(home.ok(&["events", "retry", "1", "1"]).lines().count(), 1, "once is enough");
    home.ok(&["events", "retry", "--limit", "1"]);
    assert_eq!(home.run(&["events", "retry", "--status", "processing"]).status.code(), Some(1));
}

#[test]
fn send_signs_for_every_source_and_prints_the_answer() {
    let home = Home::new("");
    let daemon = home.serve();
    let to = daemon.address.to_string();
    for arguments in [&["shopify", "orders/create"][..], &["shopify"], &["easypost"], &["keycloak", "access.LOGOUT"]] {
        let arguments = [&["send"], arguments, &["--to", &to]].concat();
        let answer: Value = serde_json::from_str(&home.ok(&arguments)).unwrap();
        assert_eq!((answer["status"].as_str(), answer["duplicate"].as_bool()), (Some("received"), Some(false)));
    }
    let same = ["send", "shopify", "--id", "mine", "--to", &to];
    home.ok(&same);
    assert!(home.ok(&same).contains("\"duplicate\":true"));
    let file = home.path("body");
    fs::write(&file, order(77)).unwrap();
    home.ok(&["send", "shopify", "orders/updated", "--file", file.to_str().unwrap(), "--to", &to]);
    home.wait_until_worked();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders WHERE order_id = 77"), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE topic = 'access.LOGOUT'"), 1);

    fs::write(home.path("keycloak"), "another secret").unwrap();
    let refused = home.run(&["send", "keycloak", "--to", &to]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("401"));
    daemon.stop();
    let nobody = home.run(&["send", "easypost", "--to", &to]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("is the daemon running?"), "{}", stderr(&nobody));
}

#[test]
fn looking_works_without_the_daemon_without_secrets_and_says_when_there_is_nothing() {
    let home = worked();
    fs::remove_file(home.path("acme")).unwrap();
    home.ok(&["events", "list"]);
    home.ok(&["stats"]);
    home.ok(&["work", "--once"]);
    assert_eq!(home.run(&["serve"]).status.code(), Some(1), "but serve needs them");

    let empty = Home::new("");
    for arguments in [&["stats"][..], &["events", "list"], &["events", "show", "1"], &["events", "retry", "1"]] {
        let output = empty.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("there is no database yet"), "{arguments:?}: {}", stderr(&output));
        assert!(!empty.db().exists(), "{arguments:?} made one");
    }
    let nowhere = Command::new(BIN).args(["--config", "/nonexistent/config.toml", "stats"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("--config FILE"), "{}", stderr(&nowhere));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = worked();
    for arguments in [&["events", "export"][..], &["events", "list"], &["mappings", "export"], &["completions", "bash"]]
    {
        let mut child = home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn config_check_shows_every_mistake_at_once() {
    let home = Home::new("");
    let good = home.run(&["config", "check"]);
    assert!(good.status.success(), "{}", stderr(&good));
    assert!(String::from_utf8_lossy(&good.stdout).contains("serve would start"));
    assert!(!home.db().exists() && !home.path("tls").exists(), "a check makes nothing");

    fs::write(
        home.config(),
        "[server]\nlisten = \"127.0.0.1\"\nmax_conections = 5\n[worker]\nlease = 5\n[[shopify.shops]]\ndomain = \"a.myshopify.com\"\n\
         secrets = [\"shpss_written_right_here\"]\n",
    )
    .unwrap();
    let bad = home.run(&["config", "check"]);
    assert_eq!(bad.status.code(), Some(1));
    let said = stderr(&bad);
    let path = home.config().display().to_string();
    for (line, key) in
        [(2, "server.listen"), (3, "server.max_conections"), (5, "worker.lease"), (8, "shopify.shops.secrets")]
    {
        assert!(said.contains(&format!("{path}:{line}: {key}: ")), "{key} is not in\n{said}");
    }
    assert!(said.contains("Did you mean server.max_connections?"), "{said}");
    assert!(!said.contains("shpss_written_right_here"), "a secret in the wrong place is not printed");
    assert_eq!(home.run(&["serve"]).status.code(), Some(1));

    home.configure("[tls]\ncertificate = \"nowhere.pem\"\nprivate_key = \"nowhere.key\"\n[store]\npath = \"no/such/directory/events.db\"");
    let said = stderr(&home.run(&["config", "check"]));
    assert!(said.contains("nowhere.pem") && said.contains("no/such/directory"), "{said}");
}

/// A secret that is another's, and is not there, keeps nobody from trying.
#[test]
fn send_needs_the_secret_of_its_source_alone() {
    let home = Home::new("");
    let daemon = home.serve();
    home.edit("file:keycloak", "credential:keycloak");
    let to = daemon.address.to_string();
    assert!(home.ok(&["send", "easypost", "--to", &to]).contains("received"));
    let refused = home.run(&["send", "keycloak", "--to", &to]);
    assert!(stderr(&refused).contains("shows it to the service, and to root while that runs"), "{}", stderr(&refused));
}

/// A pipe as configuration or secret would be waited for, for ever.
#[test]
fn pipes_are_refused() {
    let home = Home::new("");
    let pipe = home.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    home.edit("file:other", "file:pipe");
    let said = home.run(&["config", "check"]);
    assert!(stderr(&said).contains("is a pipe, which nobody may ever write to"), "{}", stderr(&said));
    let said = Command::new(BIN).arg("--config").arg(&pipe).args(["config", "check"]).output().unwrap();
    assert!(stderr(&said).contains("is a pipe and no file"), "{}", stderr(&said));
}

#[test]
fn the_whole_contract_of_the_configuration_is_read() {
    let home = Home::new(
        "[worker]\nmax_attempts = 8\nbackoff_base = \"15s\"\nbackoff_max = \"6h\"\nlease = \"5m\"\n\
         [sps]\nsecrets = [\"file:acme\"]\ninterval = \"0\"\noutgoing = \"out\"\n\
         [[sps.sources]]\nname = \"acme\"\nurl = \"sftp://acme@sftp.example.com:22/out\"\nsecrets = [\"file:acme\"]\n\
         host_key = \"first-use\"\nafter = \"archive\"\n[[sps.sources]]\nname = \"api\"\nurl = \"https://api.example.com/transactions/v5/data/out\"\n\
         client_id = \"novex\"\nsecrets = [\"file:acme\"]\n[[sps.sources]]\nname = \"local\"\nurl = \"file:///srv/sps/in\"\n\
         [[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"https://erp.lan/hooks/novex\"\n\
         topics = [\"shopify:orders/*\", \"easypost:*\", \"sps:*\"]\nsecrets = [\"file:acme\"]\ntimeout = \"30s\"\n\
         [[destinations]]\nname = \"import\"\ntype = \"command\"\ncommand = [\"/usr/local/bin/import\", \"--json\"]\n\
         topics = [\"*\"]\n[[destinations]]\nname = \"files\"\ntype = \"directory\"\npath = \"/srv/erp/in\"\ntopics = [\"*\"]\n",
    );
    let output = home.run(&["config", "check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_destinations_mistakes_are_shown_with_their_mend() {
    let home = Home::new(
        "[[destinations]]\nname = \"e r p\"\ntype = \"ftp\"\n[[destinations]]\nname = \"a\"\ntype = \"http\"\nurl = \"erp.lan\"\n\
         topics = [\"orders/*\"]\nclient_key = \"k\"\n[[destinations]]\nname = \"b\"\ntype = \"command\"\ncommand = \"import\"\n\
         topics = [\"*\"]\n[[destinations]]\nname = \"b\"\ntype = \"directory\"\n",
    );
    let said = stderr(&home.run(&["config", "check"]));
    for expected in [
        "destinations.name: is no name",
        "destinations.type: \"ftp\" is not known",
        "destinations.url: is no address",
        "destinations: has only one of client_certificate and client_key",
        "destinations.topics: \"orders/*\" names no source",
        "destinations.command: is no absolute path",
        "destinations.name: \"b\" is there twice",
        "destinations: has no path",
        "destinations: has no topics",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
}

#[test]
fn secrets_and_bodies_are_never_in_the_log() {
    let home = Home::new("[log]\nlevel = \"trace\"\nformat = \"json\"");
    let daemon = home.serve();
    daemon.deliver("w", br#"{"id":1,"email":"buyer@example.com","total_price":"oops"}"#);
    daemon.request(&crate::util::keycloak(br#"{"type":"LOGIN","details":{"username":"ada-the-customer"}}"#));
    home.wait_until_worked();
    daemon.stop();
    let log = home.log();
    let lines = json_lines(&log);
    let about: Vec<&Value> = lines.iter().filter(|line| line.get("event").is_some()).collect();
    assert!(about.len() >= 3, "lines about an event carry its number: {log}");
    for private in [SECRET, KEYCLOAK_SECRET, "buyer@example.com", "ada-the-customer", "oops"] {
        assert!(!log.contains(private), "{private} is in the log");
    }
}

#[test]
fn help_version_completions_and_manual_come_from_one_definition() {
    let run = |arguments: &[&str]| Command::new(BIN).args(arguments).output().unwrap();
    let text = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["--version"]).trim(), concat!("novex-ingest ", env!("CARGO_PKG_VERSION")));
    let help = text(&["--help"]);
    for command in ["serve", "work", "events", "stats", "send", "config", "completions", "man"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&["completions", shell]).contains("rejected"), "{shell}");
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), text(&["completions", "bash"])).unwrap();
    assert!(Command::new("bash").arg("-n").arg(script.path()).status().unwrap().success());
    assert!(text(&["man"]).contains(".TH novex-ingest 1"));
    let pages = tempfile::tempdir().unwrap();
    text(&["man", "--out", pages.path().to_str().unwrap()]);
    assert!(pages.path().join("novex-ingest-events-list.1").exists());
    for wrong in [&[][..], &["nonsense"], &["events"], &["events", "list", "--status", "lost"], &["send", "stripe"]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// What README promises to a newcomer, in a directory with nothing in it.
#[test]
fn a_checkout_runs_with_nothing_edited() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(BIN).args(arguments).current_dir(directory.path()).env_remove("NOVEX_CONFIG").output().unwrap()
    };
    // The first use of --dev makes the files; port 0 instead of 8443, because another test or daemon may have that.
    assert_eq!(run(&["--dev", "stats"]).status.code(), Some(1));
    let config = directory.path().join("var/config.toml");
    let made = fs::read_to_string(&config).unwrap();
    assert!(made.contains("127.0.0.1:8443"));
    fs::write(&config, made.replace("127.0.0.1:8443", "127.0.0.1:0")).unwrap();
    let mut daemon = Command::new(BIN)
        .args(["serve", "--dev"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(daemon.stdout.take().unwrap()), &mut line).unwrap();
    let to = line.trim().strip_prefix("novex-ingest ready https://").unwrap().to_owned();
    let sent = run(&["send", "shopify", "orders/create", "--to", &to]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    // README's line for curl and openssl, with this port.
    let script = format!(
        r#"curl -sS --cacert var/tls/self-signed.pem https://localhost:{}/api/webhooks/shopify/orders/create \
           --data-binary @body -H 'X-Shopify-Topic: orders/create' -H 'X-Shopify-Shop-Domain: acme-foods.myshopify.com' \
           -H "X-Shopify-Webhook-Id: $(openssl rand -hex 16)" \
           -H "X-Shopify-Hmac-Sha256: $(openssl dgst -sha256 -hmac "$(cat var/secrets/shopify)" -binary body | base64)""#,
        to.rsplit_once(':').unwrap().1
    );
    fs::write(directory.path().join("body"), order(5)).unwrap();
    let curl = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&curl.stdout).contains("\"duplicate\":false"), "{curl:?}");
    let db = directory.path().join("var/events.db");
    let start = std::time::Instant::now();
    while crate::util::sql(&db, "SELECT count(*) FROM sales_orders") != "2" {
        assert!(start.elapsed() < crate::util::PATIENCE);
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn every_mistake_is_shown_also_those_that_only_trying_shows() {
    let home =
        Home::new("[tls]\ncertificate = \"/nowhere/c.pem\"\nprivate_key = \"/nowhere/k.pem\"\n[worker]\nbatch = 0");
    let output = home.run(&["config", "check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = std::fs::read_to_string(home.config()).unwrap();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    for (key, needle) in [("tls.certificate", "certificate ="), ("worker.batch", "batch =")] {
        assert!(said.contains(&format!("config.toml:{}: {key}: ", line(needle))), "{key}: {said}");
    }
}

#[test]
fn refusals_are_listed_by_time_source_topic_and_status() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.request(&crate::util::shopify("w", b"{}").with("X-Shopify-Hmac-Sha256", "wrong"));
    daemon.request(&crate::util::Request::post("/api/keycloak/events", b"{}"));
    daemon.request(&crate::util::Request::new("GET", "/nowhere"));
    home.wait_for("SELECT count(*) FROM rejected_requests", "3");
    let count = |arguments: &[&str]| home.ok(&[&["events", "rejected", "--json"], arguments].concat()).lines().count();
    assert_eq!(count(&["--since", "1h"]), 3);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--source", "shopify"]), 1);
    assert_eq!(count(&["--source", "keycloak"]), 1);
    assert_eq!(count(&["--topic", "orders/*"]), 1);
    assert_eq!(count(&["--status", "404"]), 1);
    assert_eq!(count(&["--limit", "2"]), 2);
    assert_eq!(home.run(&["events", "retry", "1", "--source", "shopify"]).status.code(), Some(2), "one or the other");
}

/// A file that is not ours, or from a newer version, is named as what it is also by commands that only look.
#[test]
fn commands_that_look_know_whose_database_it_is() {
    let home = Home::new("");
    home.sql("CREATE TABLE theirs (a)");
    let said = String::from_utf8(home.run(&["stats"]).stderr).unwrap();
    assert!(said.contains("another program"), "{said}");
    std::fs::remove_file(home.db()).unwrap();
    std::fs::write(home.db(), b"").unwrap();
    let said = String::from_utf8(home.run(&["events", "list"]).stderr).unwrap();
    assert!(said.contains("there is no database yet"), "{said}");
    assert!(String::from_utf8(home.run(&["work", "--once"]).stderr).unwrap().len() < 2000);
}
