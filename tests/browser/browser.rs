//! Debian's chromium, driven through chromedriver: what a person sees and can do at the console.

use crate::support::console::{PASSWORD, console_address};
use crate::support::libraries::libraries;
use crate::support::{Daemon, WAIT_MAX};
use fantoccini::elements::Element;
use fantoccini::wd::{PrintConfiguration, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
    pub is_dark: bool,
}

pub const LIGHT: View = View { name: "light", width: 1280, height: 900, is_dark: false };
pub const DARK: View = View { name: "dark", width: 1280, height: 900, is_dark: true };
pub const PHONE: View = View { name: "phone", width: 360, height: 740, is_dark: false };

/// A browser without a window, at the console of a daemon. It ends on drop.
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    chromedriver: Child,
    base: String,
}

impl Browser {
    /// Starts a browser at the console of a daemon.
    pub fn open(daemon: &Daemon<'_>) -> Self {
        let (chromedriver, port) = start_chromedriver();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox", // chromium's sandbox does not start for root
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--ignore-certificate-errors",
            "--force-prefers-reduced-motion",
        ];
        let capabilities = json!({"goog:chromeOptions": {"args": arguments}, "acceptInsecureCerts": true});
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}")));
        let client = client.expect("chromedriver starts chromium");
        let base = format!("https://{}", console_address(daemon));
        let browser = Self { client: Some(client), runtime, chromedriver, base };
        browser.look_as(LIGHT);
        browser
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("the client ends on drop only")
    }

    /// Sends a command of Chrome's developer tools.
    pub fn control(&self, method: &str, parameters: &Value) -> Value {
        let command = DeveloperToolsCommand { method: method.to_owned(), parameters: parameters.clone() };
        self.runtime.block_on(self.client().issue_cmd(command)).unwrap()
    }

    /// Sets the size of the screen and the colours that the person prefers.
    pub fn look_as(&self, view: View) {
        let metrics =
            json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.width < 500});
        self.control("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if view.is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.control("Emulation.setEmulatedMedia", &media);
    }

    /// Switches the scripts of pages off. The commands of this driver still run.
    pub fn disable_scripts(&self) {
        self.control("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    }

    /// Opens a page.
    pub fn open_page(&self, path: &str) {
        self.runtime.block_on(self.client().goto(&format!("{}{path}", self.base))).unwrap();
    }

    /// Returns the path and the query of the page.
    pub fn path(&self) -> String {
        let url = self.runtime.block_on(self.client().current_url()).unwrap();
        url.as_str().strip_prefix(&self.base).unwrap_or(url.as_str()).to_owned()
    }

    /// Signs in by the form, as a person does.
    pub fn sign_in(&self, name: &str) {
        self.open_page("/login");
        self.enter("input[name=name]", name);
        self.enter("input[name=password]", PASSWORD);
        self.click("button[type=submit]");
        self.wait_for("form[action='/logout']");
    }

    fn find(&self, css: &str) -> Option<Element> {
        self.runtime.block_on(self.client().find_all(Locator::Css(css))).unwrap().into_iter().next()
    }

    /// Returns the number of elements.
    pub fn count(&self, css: &str) -> usize {
        self.runtime.block_on(self.client().find_all(Locator::Css(css))).unwrap().len()
    }

    /// Waits until an element exists.
    pub fn wait_for(&self, css: &str) {
        self.wait_until(css, || self.count(css) > 0);
    }

    /// Waits until the page has a text.
    pub fn wait_for_text(&self, text: &str) {
        self.wait_until(text, || self.text("body").contains(text));
    }

    /// Waits until a condition holds. A page that is being replaced is looked at again.
    pub fn wait_until(&self, name: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < WAIT_MAX, "{name}: {}\n{}", self.path(), self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Enters text into a field, in place of what it has.
    pub fn enter(&self, css: &str, text: &str) {
        let field = self.find(css).unwrap_or_else(|| panic!("no {css} at {}", self.path()));
        self.runtime.block_on(async {
            field.clear().await.unwrap();
            field.send_keys(text).await.unwrap();
        });
    }

    /// Clicks an element.
    pub fn click(&self, css: &str) {
        let element = self.find(css).unwrap_or_else(|| panic!("no {css} at {}\n{}", self.path(), self.text("body")));
        self.runtime.block_on(async {
            element.click().await.unwrap();
        });
    }

    /// Presses keys at the element that has the focus.
    pub fn press(&self, keys: &str) {
        self.runtime.block_on(async {
            self.client().active_element().await.unwrap().send_keys(keys).await.unwrap();
        });
    }

    /// Returns the visible text of the first element; an empty text if it is gone.
    pub fn text(&self, css: &str) -> String {
        let Some(element) = self.find(css) else { return String::new() };
        self.runtime.block_on(element.text()).unwrap_or_default()
    }

    /// Runs a script of the test in the page and returns its value.
    pub fn run_script(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, Vec::new())).unwrap()
    }

    /// Returns the page as a PDF, as the browser prints it.
    pub fn print_page(&self) -> Vec<u8> {
        self.runtime.block_on(self.client().print(PrintConfiguration::default())).unwrap()
    }

    /// Returns a picture of the page (PNG).
    pub fn take_picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.client().screenshot()).unwrap()
    }

    /// Returns what axe-core finds against WCAG 2.2 AA, one line each.
    pub fn check_accessibility(&self) -> Vec<String> {
        let library = fs::read_to_string(libraries().join("node_modules/axe-core/axe.min.js")).unwrap();
        self.run_script(&format!("{library}; window.axe = axe;"));
        let run = "const done = arguments[arguments.length - 1]; \
                   const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']; \
                   axe.run(document, {runOnly: tags}).then(done, (error) => done({violations: [{id: String(error), nodes: []}]}));";
        let result = self.runtime.block_on(self.client().execute_async(run, Vec::new())).unwrap();
        let violations = result["violations"].as_array().expect("axe-core answers").clone();
        let describe = |violation: &Value| {
            let nodes = violation["nodes"].as_array().into_iter().flatten();
            let places = nodes.map(|node| node["html"].as_str().unwrap_or_default().to_owned());
            format!("{}: {}", violation["id"], places.take(3).collect::<Vec<_>>().join(" | "))
        };
        violations.iter().map(describe).collect()
    }
}

/// A command of Chrome's developer tools, through chromedriver.
#[derive(Debug)]
struct DeveloperToolsCommand {
    method: String,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DeveloperToolsCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/goog/cdp/execute", session.expect("the session has begun")))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.method, "params": self.parameters}).to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Ends chromium; a failed test must not hide its own message.
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}

/// Starts chromedriver and returns it with the port that it chose.
fn start_chromedriver() -> (Child, u16) {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .env("TZ", "America/Chicago")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver, of Debian's package chromium-driver");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let rest = line.split("started successfully on port ").nth(1)?;
        rest.trim_end_matches('.').parse().ok()
    });
    // Keeps the pipe open and empty.
    std::thread::spawn(move || lines.for_each(drop));
    (child, port.expect("chromedriver says its port"))
}
