//! What one process did, with the questions that several rules ask of it.

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

    /// Of this instance.
    pub fn is_of(&self, plugin: &str) -> bool {
        self.line.plugin.as_deref() == Some(plugin)
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
}

/// What one process did.
pub struct Section<'a> {
    part: &'a Part,
    instances: Vec<Instance<'a>>,
    /// Nothing is missing at the end: what was not done is a fault.
    pub is_whole: bool,
}

impl<'a> Section<'a> {
    /// Of this part.
    pub fn new(part: &'a Part, is_whole: bool) -> Section<'a> {
        let mut section = Section { part, instances: Vec::new(), is_whole };
        let instance = |created: &'a Span| {
            let plugin = created.line.plugin.as_deref()?;
            let destroyed = section.calls_of(plugin).find(|call| call.name == "destroy" && call.gave("OK"));
            Some(Instance { plugin, drives: created.line.drives, created, destroyed })
        };
        let created = section.calls().filter(|call| call.name == "create" && call.gave("OK"));
        let instances = created.filter_map(instance).collect();
        section.instances = instances;
        section
    }

    /// All instances.
    pub fn instances(&self) -> &[Instance<'a>] {
        &self.instances
    }

    /// The instance of this handle.
    pub fn instance(&self, plugin: &str) -> Option<&Instance<'a>> {
        self.instances.iter().find(|instance| instance.plugin == plugin)
    }

    /// All calls, in the order of their beginnings.
    pub fn calls(&self) -> impl Iterator<Item = &'a Span> + use<'a> {
        self.part.spans.iter().filter(|span| !span.is_callback)
    }

    /// All callbacks.
    pub fn callbacks(&self) -> impl Iterator<Item = &'a Span> + use<'a> {
        self.part.spans.iter().filter(|span| span.is_callback)
    }

    /// The calls of an instance.
    pub fn calls_of<'b>(&self, plugin: &'b str) -> impl Iterator<Item = &'a Span> + use<'a, 'b> {
        self.calls().filter(move |call| call.is_of(plugin))
    }

    /// The callbacks of an instance by this name.
    pub fn callbacks_of<'b>(
        &self,
        plugin: &'b str,
        name: &'static str,
    ) -> impl Iterator<Item = &'a Span> + use<'a, 'b> {
        self.callbacks().filter(move |callback| callback.is_of(plugin) && callback.name == name)
    }

    /// The last instant that is told.
    pub fn last_ns(&self) -> u64 {
        self.part.last_ns
    }

    /// The last line.
    pub fn last_line(&self) -> usize {
        self.part.last_line
    }

    /// Whether the instance ran at the instant: started, and no stop had begun.
    pub fn runs_at(&self, plugin: &str, instant: u64) -> bool {
        let last = self.calls_of(plugin).filter(|call| matches!(&*call.name, "start" | "stop"));
        let mut runs = false;
        for call in last {
            match &*call.name {
                "start" if call.gave("OK") && call.end() <= instant => runs = true,
                "stop" if call.begin_ns <= instant => runs = false,
                _ => {}
            }
        }
        runs
    }
}

/// Adds a place where a rule was broken.
pub fn found(findings: &mut Vec<Finding>, rule: &'static str, at: &Span, text: String) {
    debug_assert!(super::rules::named(rule).is_some(), "{rule}");
    findings.push(Finding { rule, line: at.at, text });
}
