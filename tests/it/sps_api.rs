//! Polling SPS's API: tokens that expire, pages, and errors of the server.

use crate::support::Home;
use crate::support::fake_sps_api::FakeSpsApi;

fn poll_error(home: &Home) -> String {
    let run = home.run(&["sps", "poll"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn files_of_all_pages_are_fetched_and_deleted() {
    let api = FakeSpsApi::start();
    for file in 0..5 {
        api.put(&format!("PO {file}.edi"), &format!("PO{file}"));
    }
    let home = api.home("");
    assert!(home.run_ok(&["sps", "poll"]).contains("5 files: 5 orders"));
    assert!(api.state.lock().unwrap().files.is_empty());
    assert_eq!(api.state.lock().unwrap().tokens, 1, "one token for all requests");
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM purchase_orders"), "5");
}

#[test]
fn api_errors_lose_no_file() {
    let api = FakeSpsApi::start();
    api.put("a.edi", "PO1");
    let home = api.home("");
    // Last first: after a refused token the poller requests one new token.
    api.state.lock().unwrap().errors = vec![(401, "")];
    assert!(poll_error(&home).contains("check client_id"), "the token request");
    api.state.lock().unwrap().errors = vec![(429, "retry-after: 7200\r\n")];
    assert!(poll_error(&home).contains("429"));
    let rest = "SELECT round((julianday(next_poll_at) - julianday('now')) * 24, 1) FROM sps_sources";
    assert_eq!(home.sql(rest), "2.0", "the wait of Retry-After");
    api.state.lock().unwrap().next_page = Some("http://localhost:1/stolen".to_owned());
    assert!(poll_error(&home).contains("must not receive the token"));
    {
        let mut state = api.state.lock().unwrap();
        state.next_page = None;
        state.cut_after = Some(100);
    }
    poll_error(&home);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "0", "half a file is not stored");
    assert_eq!(api.state.lock().unwrap().files.len(), 1);
    api.state.lock().unwrap().cut_after = None;
    assert!(home.run_ok(&["sps", "poll"]).contains("1 file: 1 order"));
    assert_eq!(home.sql("SELECT next_poll_at FROM sps_sources"), "");
}

/// Outbound documents are posted beside the polled directory; a temporary refusal is retried.
#[test]
fn documents_are_uploaded_by_the_api() {
    let api = FakeSpsApi::start();
    api.put("a.edi", "PO1");
    let home = api.home("");
    home.edit_config("[sps]\n", "[sps]\noutgoing = \"api:/in\"\n");
    home.run_ok(&["sps", "poll"]);
    // Last first: the token, then an error.
    api.state.lock().unwrap().errors = vec![(503, ""), (401, "")];
    let start = std::time::Instant::now();
    home.run_ok(&["work", "--once"]);
    while home.sql("SELECT status FROM destination_deliveries") != "delivered" {
        assert!(start.elapsed().as_secs() < 60, "{}", home.sql("SELECT last_error FROM destination_deliveries"));
        home.run_ok(&["work", "--once"]);
    }
    let state = api.state.lock().unwrap();
    assert_eq!(state.uploads.len(), 1, "{:?}", state.requests);
    assert!(
        state.uploads[0].0.starts_with("997-ACMERETAIL-7-") && state.uploads[0].1.contains("AK9*A*1*1*1~"),
        "{:?}",
        state.uploads
    );
}
