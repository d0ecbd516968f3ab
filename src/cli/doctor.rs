//! `doctor`: prints what the checks of this machine found, problems first.

use crate::cli::output::print_line;
use crate::cli::{CliError, GlobalArgs};
use crate::doctor::{self, Findings};
use crate::presentation::program::complete_commands;
use crate::text::{format_count, replace_control_chars};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run_doctor(global: &GlobalArgs, args: &DoctorArgs) -> Result<(), CliError> {
    let findings = doctor::run_checks(&global.config_path()?, global.time_format().for_programs(args.json))?;
    if args.json { print_findings_as_json(&findings) } else { print_findings(&findings) }?;
    match findings.count_failures() {
        0 => Ok(()),
        count => {
            let failed = format_count(count, "check failed", "checks failed");
            Err(anyhow::anyhow!("{failed}; the lines after → give the fixes").into())
        }
    }
}

fn print_findings_as_json(findings: &Findings) -> anyhow::Result<()> {
    let checks: Vec<_> = findings
        .sorted()
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check, "state": finding.state.as_str(),
                "message": complete_commands(&finding.message), "fix": complete_commands(&finding.fix)
            })
        })
        .collect();
    let (is_ok, summary) = (findings.count_failures() == 0, complete_commands(&findings.summarize()));
    Ok(print_line(&json!({"ok": is_ok, "summary": summary, "checks": checks}).to_string())?)
}

fn print_findings(findings: &Findings) -> anyhow::Result<()> {
    // A message can hold text of a partner or of a provider.
    let print = |text: &str| print_line(&replace_control_chars(text));
    print(&findings.summarize())?;
    print_line("")?;
    for finding in findings.sorted() {
        for (index, line) in finding.message.lines().enumerate() {
            let (state, check) = if index == 0 { (finding.state.as_str(), finding.check) } else { ("", "") };
            print(&format!("{state:<7} {check:<14} {line}"))?;
        }
        if !finding.fix.is_empty() {
            print(&format!("{:<7} {:<14} → {}", "", "", finding.fix))?;
        }
    }
    Ok(())
}
