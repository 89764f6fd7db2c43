//! What one process did, with the questions that several rules ask of it.

use std::collections::HashMap;

use super::Finding;
use super::read::{Part, Span};

/// The control members of an instance.
pub const CONTROL: [&str; 5] = ["start", "stop", "destroy", "configure", "edit"];

impl Span {
    /// Whether it gave this result.
    pub fn gave(&self, result: &str) -> bool {
        self.line.result.as_deref().is_some_and(|name| name.strip_prefix("VMSF_").unwrap_or(name) == result)
    }

    /// Its result, for people.
    pub fn result(&self) -> &str {
        self.line.result.as_deref().unwrap_or("nothing")
    }

    /// When it ended; never, for one that did not return.
    pub fn end(&self) -> u64 {
        self.end_ns.unwrap_or(u64::MAX)
    }

    /// Whether it began when that one had ended.
    pub fn is_after(&self, other: &Span) -> bool {
        self.begin_ns > other.end()
    }

    /// The answer that a `complete` gave.
    pub fn outcome(&self) -> Option<u64> {
        self.line.outcome.as_ref()?.as_u64()
    }
}

/// An instance of the trace.
pub struct Instance<'a> {
    /// Its handle.
    pub plugin: &'a str,
    /// Whether the host drives.
    pub drives: bool,
    /// The call that made it.
    pub created: &'a Span,
    /// The call that ended it.
    pub destroyed: Option<&'a Span>,
    /// Its calls, in the order of their beginnings.
    pub calls: Vec<&'a Span>,
    /// Its callbacks, the same.
    pub callbacks: Vec<&'a Span>,
    /// When the host was asked for each operation.
    begun: HashMap<u64, Vec<&'a Span>>,
    /// Starts and stops.
    turns: Vec<&'a Span>,
}

impl<'a> Instance<'a> {
    fn new(created: &'a Span, calls: Vec<&'a Span>, callbacks: Vec<&'a Span>) -> Option<Instance<'a>> {
        let plugin = created.line.plugin.as_deref()?;
        let mut begun: HashMap<u64, Vec<&Span>> = HashMap::new();
        for span in callbacks.iter().filter(|span| span.name == "begin") {
            begun.entry(span.line.op.unwrap_or_default()).or_default().push(span);
        }
        let destroyed = calls.iter().copied().find(|call| call.name == "destroy" && call.gave("OK"));
        let turns = calls.iter().copied().filter(|call| matches!(&*call.name, "start" | "stop")).collect();
        Some(Instance { plugin, drives: created.line.drives, created, destroyed, calls, callbacks, begun, turns })
    }

    /// Its calls of this member.
    pub fn called(&self, name: &'static str) -> impl Iterator<Item = &'a Span> {
        self.calls.iter().copied().filter(move |call| call.name == name)
    }

    /// Its callbacks by this name.
    pub fn told(&self, name: &'static str) -> impl Iterator<Item = &'a Span> {
        self.callbacks.iter().copied().filter(move |callback| callback.name == name)
    }

    /// When the host was last asked for what a call is about: after another start it is asked again.
    pub fn asked(&self, call: &Span) -> Option<&'a Span> {
        let begun = self.begun.get(&call.line.op?)?;
        begun.iter().rev().find(|asked| asked.begin_ns < call.begin_ns).copied()
    }

    /// Whether it ran at the instant: started, and no stop had begun.
    pub fn runs_at(&self, instant: u64) -> bool {
        let mut runs = false;
        for call in &self.turns {
            match &*call.name {
                "start" if call.gave("OK") && call.end() <= instant => runs = true,
                "stop" if call.begin_ns <= instant => runs = false,
                _ => {}
            }
        }
        runs
    }
}

/// What one process did.
pub struct Section<'a> {
    part: &'a Part,
    instances: Vec<Instance<'a>>,
    index: HashMap<&'a str, usize>,
    /// Nothing is missing at the end: what was not done is a fault.
    pub is_whole: bool,
}

impl<'a> Section<'a> {
    /// Of this part.
    pub fn new(part: &'a Part, is_whole: bool) -> Section<'a> {
        let mut of: HashMap<&str, (Vec<&Span>, Vec<&Span>)> = HashMap::new();
        for span in &part.spans {
            let (calls, callbacks) = of.entry(span.line.plugin.as_deref().unwrap_or_default()).or_default();
            if span.is_callback { callbacks.push(span) } else { calls.push(span) }
        }
        let created = part.spans.iter().filter(|span| span.name == "create" && span.gave("OK"));
        let instances = created.filter_map(|created| {
            let (calls, callbacks) = of.remove(created.line.plugin.as_deref()?)?;
            Instance::new(created, calls, callbacks)
        });
        let instances: Vec<_> = instances.collect();
        let index = instances.iter().enumerate().map(|(index, instance)| (instance.plugin, index)).collect();
        Section { part, instances, index, is_whole }
    }

    /// All instances.
    pub fn instances(&self) -> &[Instance<'a>] {
        &self.instances
    }

    /// The instance that a call is of.
    pub fn instance_of(&self, call: &Span) -> Option<&Instance<'a>> {
        self.instances.get(*self.index.get(call.line.plugin.as_deref()?)?)
    }

    /// All calls, in the order of their beginnings.
    pub fn calls(&self) -> impl Iterator<Item = &'a Span> {
        self.part.spans.iter().filter(|span| !span.is_callback)
    }

    /// All callbacks.
    pub fn callbacks(&self) -> impl Iterator<Item = &'a Span> {
        self.part.spans.iter().filter(|span| span.is_callback)
    }

    /// The last instant that is told.
    pub fn last_ns(&self) -> u64 {
        self.part.last_ns
    }

    /// The last line.
    pub fn last_line(&self) -> usize {
        self.part.last_line
    }
}

/// Adds a place where a rule was broken.
pub fn found(findings: &mut Vec<Finding>, rule: &'static str, at: &Span, text: String) {
    debug_assert!(super::rules::named(rule).is_some(), "{rule}");
    findings.push(Finding { rule, line: at.at, text });
}
