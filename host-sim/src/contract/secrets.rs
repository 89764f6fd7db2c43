//! Credentials and tokens, of which a trace knows the length alone.

use super::Finding;
use super::section::{Section, found};

const LENGTH_MAX: u64 = 4_096;
/// VMSF_OP_AUTHORIZE.
const AUTHORIZE: u64 = 4;

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for call in section.calls() {
        let length = call.line.secret_len.unwrap_or(0);
        if length > LENGTH_MAX {
            found(findings, "secret-too-long", call, format!("`{}` with {length} bytes", call.name));
        }
        if call.line.secret_in_json {
            found(findings, "secret-in-json", call, format!("`{}`", call.name));
        }
        if call.name != "complete" {
            continue;
        }
        let asked = section.instance_of(call).and_then(|instance| instance.asked(call));
        let Some(kind) = asked.and_then(|asked| asked.line.kind) else { continue };
        let op = call.line.op.unwrap_or_default();
        if kind == AUTHORIZE && length == 0 && call.outcome() == Some(0) {
            found(findings, "token-missing", call, format!("operation {op}"));
        }
        if kind != AUTHORIZE && length > 0 {
            found(findings, "token-unasked", call, format!("operation {op}, of kind {kind}: {}", call.result()));
        }
    }
}
