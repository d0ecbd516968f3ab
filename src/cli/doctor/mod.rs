//! `doctor`: what is wrong on this box, and the mend.

mod machine;
mod queue;
mod tls;
mod units;
mod way;

use super::output::line;
use super::{Failure, Place};
use crate::config::{Config, Secrets};
use anyhow::bail;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct Arguments {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Well,
    /// It works, and will not for ever, or not as it should.
    Note,
    /// It does not work.
    Wrong,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    what: &'static str,
    state: State,
    said: String,
    /// What to do; empty where there is nothing.
    mend: String,
}

/// All of them, in the order they were looked at.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub fn well(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, State::Well, said, "");
    }

    pub fn note(&mut self, what: &'static str, said: impl Into<String>, mend: impl Into<String>) {
        self.add(what, State::Note, said, mend);
    }

    pub fn wrong(&mut self, what: &'static str, said: impl Into<String>, mend: impl Into<String>) {
        self.add(what, State::Wrong, said, mend);
    }

    fn add(&mut self, what: &'static str, state: State, said: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { what, state, said: said.into(), mend: mend.into() });
    }
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let mut findings = Findings::default();
    if let Some(config) = configuration(place, &mut findings)? {
        machine::look(&config, &mut findings);
        units::look(&config, &mut findings);
        tls::look(&config, &mut findings);
        queue::look(&config, &mut findings);
        way::look(&config, &mut findings)?;
    }
    show(&findings, arguments.json)?;
    let wrong = findings.0.iter().filter(|finding| finding.state == State::Wrong).count();
    if wrong > 0 {
        return Err(anyhow::anyhow!("{wrong} of {} things are wrong, see above", findings.0.len()).into());
    }
    Ok(())
}

/// Every mistake of it is a finding; `None` when it cannot be read at all.
fn configuration(place: &Place, findings: &mut Findings) -> anyhow::Result<Option<Config>> {
    let path = place.config_path()?;
    let text = match Config::text(&path) {
        Ok(text) => text,
        Err(error) => {
            findings.wrong(
                "configuration",
                format!("{}: {error}", path.display()),
                if path.exists() {
                    "sudo novex-ingest doctor; or name another file by --config."
                } else {
                    "`novex-ingest setup` writes one; or name another file by --config."
                },
            );
            return Ok(None);
        }
    };
    let (config, mistakes) = Config::survey(&path, &text, Secrets::Load);
    if mistakes.list.is_empty() {
        findings.well("configuration", path.display().to_string());
    }
    for mistake in &mistakes.list {
        findings.wrong(
            "configuration",
            format!("line {}: {} {}", mistake.line, mistake.key, mistake.problem),
            mistake.mend.clone(),
        );
    }
    for warning in &config.warnings {
        let (what, state) = if warning.is_exposed { ("secrets", State::Wrong) } else { ("configuration", State::Note) };
        findings.add(what, state, warning.said.clone(), &warning.mend);
    }
    if !mistakes.list.iter().any(|mistake| mistake.key.contains("secrets"))
        && !config.warnings.iter().any(|warning| warning.is_exposed)
    {
        findings.well("secrets", "all are there, and nobody else may read them");
    }
    Ok(Some(config))
}

fn show(findings: &Findings, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let checks: Vec<_> = findings
            .0
            .iter()
            .map(|finding| json!({"check": finding.what, "state": finding.state.as_str(), "said": finding.said, "mend": finding.mend}))
            .collect();
        let is_well = findings.0.iter().all(|finding| finding.state != State::Wrong);
        return Ok(line(&json!({"ok": is_well, "checks": checks}).to_string())?);
    }
    for finding in &findings.0 {
        line(&format!("{:<6} {:<14} {}", finding.state.as_str(), finding.what, finding.said))?;
        if !finding.mend.is_empty() {
            line(&format!("{:<6} {:<14} → {}", "", "", finding.mend))?;
        }
    }
    if findings.0.is_empty() {
        bail!("nothing could be looked at");
    }
    Ok(())
}
