//! The people of a setup: the first user of the console, and who gets an e-mail about alerts.

use crate::access::{Role, password};
use crate::cli::alerts::send_test_message;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::setup::plan::{print_prompt, prompt_for_secret, prompt_until_valid, prompt_yes_no};
use crate::cli::setup::{SetupPlan, SetupSecret};
use crate::cli::store::{name_operator, with_store};
use crate::config::Config;
use crate::delivery::destinations::DestinationKind;
use crate::delivery::destinations::smtp::check_mail_address;
use crate::secret::Secret;
use crate::store::access::Actor;
use crate::store::access::users::parse_user_name;
use crate::store::access::users::{UserChange, list_users};
use crate::store::db::reader::Reader;
use anyhow::bail;
use std::fmt::Write;
use std::net::IpAddr;

/// First user of the console.
#[derive(Clone)]
pub(super) struct SetupUser {
    name: String,
    password_hash: String,
}

impl std::fmt::Debug for SetupUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// E-mail for alerts.
#[derive(Debug, Clone)]
pub(super) struct SetupMail {
    to: String,
    from: String,
    host: String,
    port: u16,
    user: Option<String>,
    /// None without a user.
    pub(super) password: Option<SetupSecret>,
    is_tested: bool,
}

impl SetupMail {
    /// Returns the section of the configuration. `password` is the reference to the password.
    pub fn format_section(&self, password: Option<&str>) -> String {
        let tls = match self.port {
            _ if is_this_machine(&self.host) && self.password.is_none() => "none",
            465 => "implicit",
            _ => "starttls",
        };
        let mut text = format!(
            "[[alerts.channels]]\nname = \"mail\"\ntype = \"smtp\"\nhost = {:?}\nport = {}\ntls = {tls:?}\n",
            self.host, self.port
        );
        if let (Some(user), Some(password)) = (&self.user, password) {
            let _ = writeln!(text, "user = {user:?}\npassword = {password:?}");
        }
        let _ = writeln!(text, "from = {:?}\nto = [{:?}]", self.from, self.to);
        text
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns true if the console has a user. A database that does not exist has none.
fn has_console_user(config: &Config) -> bool {
    let users = Reader::open(&config.store.path, 1).and_then(|reader| reader.read(list_users));
    users.is_ok_and(|users| !users.is_empty())
}

/// Asks for the first user of the console, unless there is one. `has_database`: the user can be stored at the end.
pub(super) fn prompt_for_user(existing: &Config, has_database: bool) -> anyhow::Result<Option<SetupUser>> {
    if !existing.console.is_enabled || !has_database || has_console_user(existing) {
        return Ok(None);
    }
    let name = prompt_until_valid("First user of the console, an admin (anna), empty for none: ", |text| {
        if text.is_empty() { Ok(()) } else { parse_user_name(text).map(drop).map_err(anyhow::Error::msg) }
    })?;
    if name.is_empty() {
        return Ok(None);
    }
    loop {
        let typed = rpassword::prompt_password(format!("Password for {name} (hidden): "))?;
        if let Err(error) = password::check_password(&typed, &name) {
            print_prompt(&format!("{error}\n"))?;
        } else if rpassword::prompt_password("The same password again (hidden): ")? == typed {
            let password_hash = password::hash_password(&typed)?;
            return Ok(Some(SetupUser { name, password_hash }));
        } else {
            print_prompt("the passwords differ\n")?;
        }
    }
}

/// Asks for the recipient of alerts and the mail server, unless alerts have a channel.
pub(super) fn prompt_for_mail(existing: &Config, domain: &str) -> anyhow::Result<Option<SetupMail>> {
    if existing.alert_channels().next().is_some() {
        return Ok(None);
    }
    let check_address = |text: &str| check_mail_address(text).map_err(|error| anyhow::anyhow!("{text:?}: {error}"));
    let to = prompt_until_valid("E-mail address for alerts, empty for none: ", |text| {
        if text.is_empty() { Ok(()) } else { check_address(text) }
    })?;
    if to.is_empty() {
        return Ok(None);
    }
    let mail_domain = to.trim_end_matches('>').rsplit_once('@').map_or("example.com", |(_, domain)| domain).to_owned();
    let host = prompt_with_default("Mail server (SMTP)", &format!("smtp.{mail_domain}"), |text| {
        let is_host =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
        if is_host { Ok(()) } else { bail!("{text:?} is not the name of a host") }
    })?;
    let default_port = if is_this_machine(&host) { "25" } else { "587" };
    let port = prompt_with_default("Port, 465 for TLS from the first byte", default_port, |text| {
        crate::cli::filters::parse_port(text).map(drop).map_err(anyhow::Error::msg)
    })?;
    let user = prompt_until_valid("User at the mail server, empty for none: ", |_| Ok(()))?;
    let user = Some(user).filter(|user| !user.is_empty());
    let password = match &user {
        Some(user) => Some(prompt_for_secret(&format!("Password of {user} (hidden): "), |text| {
            if text.is_empty() {
                bail!("enter the password")
            }
            Ok(SetupSecret::Provided(Secret::new(text.into_bytes())))
        })?),
        None => None,
    };
    let from = prompt_with_default("Sender of the messages", &format!("novex-ingest@{domain}"), check_address)?;
    let is_tested = prompt_yes_no(&format!("Send a test message to {to} at the end?"))?;
    Ok(Some(SetupMail { to, from, host, port: port.parse()?, user, password, is_tested }))
}

/// Asks with a default, which is the answer to an empty line.
fn prompt_with_default(
    question: &str,
    default: &str,
    check: impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let answer =
        prompt_until_valid(
            &format!("{question} [{default}]: "),
            |text| {
                if text.is_empty() { Ok(()) } else { check(text) }
            },
        )?;
    Ok(if answer.is_empty() { default.to_owned() } else { answer })
}

/// Adds the user and sends the test message, after the configuration is written and the service runs. A failure is
/// reported and undoes nothing.
pub(super) fn complete_people(config: &Config, plan: &SetupPlan) -> anyhow::Result<()> {
    if let Some(SetupUser { name, password_hash }) = &plan.console_user {
        let actor = Actor::from_operator(name_operator(None));
        let added = with_store(config, async |store| {
            Ok(store.add_user(name.clone(), Role::Admin, Some(password_hash.clone()), actor).await?)
        });
        match added {
            Ok(UserChange::Done) => {
                print_untrusted_line(&format!("Added admin {name}. Sign in at https://{}/", config.console.listen))?;
            }
            Ok(_) => print_untrusted_line(&format!("The console has a user {name} already, who keeps the password."))?,
            Err(error) => print_line(&format!(
                "The console has no user {name}: {error:#}. Once the daemon runs: `novex-ingest users add NAME --role admin`"
            ))?,
        }
    }
    if let Some(mail) = plan.mail.as_ref().filter(|mail| mail.is_tested) {
        let is_mail = |kind: &DestinationKind| matches!(kind, DestinationKind::Smtp(_));
        let Some(channel) = config.alert_channels().find(|settings| is_mail(&settings.kind)) else { return Ok(()) };
        match send_test_message(channel) {
            Ok(None) => print_untrusted_line(&format!("The mail server took the test message to {}.", mail.to))?,
            Ok(Some(error)) => report_untested_mail(&error)?,
            Err(error) => report_untested_mail(&format!("{error:#}"))?,
        }
    }
    Ok(())
}

fn report_untested_mail(error: &str) -> anyhow::Result<()> {
    Ok(print_line(&crate::text::replace_control_chars(&format!(
        "The test message was not sent, and alerts would not arrive either: {error}. Correct [[alerts.channels]]; then \
         `novex-ingest alerts test`"
    )))?)
}
