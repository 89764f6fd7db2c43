//! What can be known of the cluster and of the logins, for `check`: each is a set of what it may be, narrowed by whatever proves it.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Begin, Handed};

/// Who may have brought the token of a server; None: it may have none.
type Brought = BTreeSet<Option<u64>>;

/// The cluster and the logins.
#[derive(Debug)]
pub struct Access {
    joined: BTreeSet<bool>,
    /// A call about the cluster was made since the last answer of one kind or the other was begun.
    called: u64,
    called_when_answering: BTreeMap<u64, u64>,
    calls_now: Option<bool>,
    /// The cluster was joined by an answer that was accepted while the call that is being made was under way.
    answered_meanwhile: bool,
    logins: BTreeMap<String, Brought>,
    /// Servers that may be other machines, if the configuration that is being given comes into force.
    in_doubt: BTreeSet<String>,
    /// Authorizations whose token was accepted for good.
    accepted: BTreeSet<u64>,
    /// Of these another token was seen later: a takeover must have gone before them.
    superseded: BTreeSet<u64>,
    /// Something was answered in this life: what the status says may be older.
    moving: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            joined: [false].into(),
            called: 0,
            called_when_answering: BTreeMap::new(),
            calls_now: None,
            answered_meanwhile: false,
            logins: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            accepted: BTreeSet::new(),
            superseded: BTreeSet::new(),
            moving: false,
        }
    }
}

impl Access {
    fn login(&mut self, server: &str) -> &mut Brought {
        self.logins.entry(server.to_owned()).or_insert_with(|| [None].into())
    }

    /// What may be: part of the cluster; the token of this server.
    pub fn known(&self, server: &str) -> (BTreeSet<bool>, Brought) {
        (self.joined.clone(), self.logins.get(server).cloned().unwrap_or_else(|| [None].into()))
    }

    /// Authorizations that a takeover must have gone before.
    pub fn superseded(&self) -> impl Iterator<Item = u64> {
        self.superseded.iter().copied()
    }

    /// Whether a server may have the token that this operation brought.
    pub fn may_have(&self, server: &str, op: u64) -> bool {
        self.logins.get(server).is_some_and(|brought| brought.contains(&Some(op)))
    }

    /// A process begins.
    pub fn begin_life(&mut self) {
        self.moving = false;
        self.calls_now = None;
        self.called_when_answering.clear();
    }

    /// The status says so; what is wrong with that.
    pub fn found(&mut self, joined: bool, authorized: &[String]) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.joined.contains(&joined) {
            wrong.push(format!("the status says joined: {joined}, and that cannot be"));
        }
        for (server, brought) in &mut self.logins {
            let has = authorized.contains(server);
            if !brought.iter().any(|op| op.is_some() == has) {
                wrong.push(format!("the status says authorized: {has} of {server}; it may be by {brought:?}"));
            } else if !self.moving {
                brought.retain(|op| op.is_some() == has);
            }
        }
        if !self.moving {
            self.joined = [joined].into();
        }
        let never = authorized.iter().filter(|server| !self.logins.contains_key(*server));
        wrong.extend(never.map(|server| format!("{server} is authorized and never was")));
        wrong
    }

    /// A call is made.
    pub fn calling(&mut self, call: &str) {
        self.calls_now = to_be(call);
        self.answered_meanwhile = false;
        self.joined.extend(self.calls_now);
    }

    /// It was accepted.
    pub fn called(&mut self, call: &str) {
        self.calls_now = None;
        if let Some(joined) = to_be(call) {
            self.called += 1;
            // Whether an answer that is or was on its way meanwhile comes before or after it, nobody knows.
            let alone = self.called_when_answering.is_empty() && !self.answered_meanwhile;
            self.joined = if alone { [joined].into() } else { [joined, true].into() };
        }
    }

    /// An operation is answered with success.
    pub fn answering(&mut self, op: u64, operation: &str, server: &str) {
        self.moving = true;
        match operation {
            "authorize" => _ = self.login(server).insert(Some(op)),
            "deauthorize" => {
                self.login(server).insert(None);
                self.in_doubt.remove(server);
            }
            "join_cluster" => {
                self.joined.insert(true);
                self.called_when_answering.insert(op, self.called);
            }
            _ => {}
        }
    }

    /// Its answer was accepted for good.
    pub fn answered(&mut self, op: u64, operation: &str, ok: bool) {
        let before = self.called_when_answering.remove(&op);
        self.answered_meanwhile |= operation == "join_cluster" && ok && self.calls_now.is_some();
        match operation {
            "authorize" if ok => _ = self.accepted.insert(op),
            "join_cluster" if ok && before == Some(self.called) && self.calls_now.is_none() => {
                self.joined = [true].into();
            }
            _ => {}
        }
    }

    /// A configuration is given: servers that are gone or at another address may have no token any more.
    pub fn configuring(&mut self, before: &[String], given: &[String]) {
        for server in strangers(before, given) {
            if self.login(server).insert(None) {
                self.in_doubt.insert(server.to_owned());
            }
        }
    }

    /// It was not accepted.
    pub fn not_configured(&mut self) {
        for server in std::mem::take(&mut self.in_doubt) {
            self.login(&server).remove(&None);
        }
    }

    /// It is in force.
    pub fn configured(&mut self, before: &[String], now: &[String]) {
        self.in_doubt.clear();
        for server in strangers(before, now) {
            self.logins.insert(server.to_owned(), [None].into());
        }
    }

    /// An operation is begun; whether a token came with it, or what is wrong with what came.
    pub fn handed(&mut self, begin: &Begin) -> Result<bool, String> {
        if matches!(begin.operation.as_str(), "authorize" | "join_cluster") {
            let own = Handed::Credentials(begin.actor.clone());
            return if begin.secret == own { Ok(false) } else { Err(format!("came with {:?}", begin.secret)) };
        }
        let known = self.known(&begin.server).1;
        let Handed::Token(op) = begin.secret else {
            return Err(format!("came with {:?}; known are {known:?}", begin.secret));
        };
        if !known.contains(&Some(op)) {
            return Err(format!("came with the token of {op}; known are {known:?}"));
        }
        let newer = known.iter().flatten().filter(|other| **other > op && self.accepted.contains(other));
        self.superseded.extend(newer.copied().collect::<Vec<_>>());
        self.logins.insert(begin.server.clone(), [Some(op)].into());
        Ok(true)
    }
}

/// What a call says of the cluster.
fn to_be(call: &str) -> Option<bool> {
    match call {
        "join" => Some(true),
        "leave" => Some(false),
        _ => None,
    }
}

/// The servers of `before` that are not there any more, or at another address.
pub fn strangers<'a>(before: &'a [String], now: &'a [String]) -> impl Iterator<Item = &'a str> {
    let gone = before.iter().filter(|server| !now.contains(server));
    gone.filter_map(|server| Some(server.split_once('@')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(operation: &str, secret: Handed) -> Begin {
        Begin { operation: operation.into(), server: "a".into(), actor: "x".into(), secret, ..Begin::default() }
    }

    fn authorized(access: &mut Access, op: u64) {
        access.answering(op, "authorize", "a");
        access.answered(op, "authorize", true);
    }

    #[test]
    fn the_token_of_the_last_authorization_is_right_and_any_other_is_not() {
        let mut access = Access::default();
        assert!(access.handed(&begin("backup", Handed::Token(1))).is_err(), "never authorized");
        authorized(&mut access, 1);
        assert_eq!(access.handed(&begin("backup", Handed::Token(1))), Ok(true));
        authorized(&mut access, 5);
        assert_eq!(access.handed(&begin("backup", Handed::Token(5))), Ok(true));
        for wrong in [Handed::Token(1), Handed::Token(9), Handed::Nothing, Handed::Rubbish] {
            assert!(access.handed(&begin("backup", wrong)).is_err());
        }
        assert_eq!(access.superseded().count(), 0);
    }

    #[test]
    fn an_earlier_token_is_right_only_if_a_takeover_went_before_the_later_one() {
        let mut access = Access::default();
        authorized(&mut access, 1);
        authorized(&mut access, 5);
        assert_eq!(access.handed(&begin("takeover", Handed::Token(1))), Ok(true));
        assert_eq!(access.superseded().collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn credentials_are_those_of_the_call() {
        let mut access = Access::default();
        assert_eq!(access.handed(&begin("authorize", Handed::Credentials("x".into()))), Ok(false));
        assert!(access.handed(&begin("authorize", Handed::Credentials("y".into()))).is_err());
        assert!(access.handed(&begin("join_cluster", Handed::Nothing)).is_err());
    }

    #[test]
    fn what_the_status_says_must_be_possible() {
        let mut access = Access::default();
        assert_eq!(access.found(true, &[]).len(), 1);
        let mut access = Access::default();
        access.calling("join");
        assert!(access.found(false, &[]).is_empty(), "a kill in the call leaves it open");
        access.calling("join");
        access.called("join");
        assert_eq!(access.found(false, &["a".into()]).len(), 2);
        let mut access = Access::default();
        authorized(&mut access, 1);
        assert!(access.found(false, &[]).is_empty(), "an answer of this life may be on its way");
        access.begin_life();
        assert!(access.found(false, &["a".into()]).is_empty());
        assert_eq!(access.found(false, &[]).len(), 1);
    }

    #[test]
    fn whether_an_answer_in_the_middle_of_a_leave_comes_before_it_nobody_knows() {
        let mut access = Access::default();
        access.calling("leave");
        access.answering(1, "join_cluster", "");
        access.answered(1, "join_cluster", true);
        access.called("leave");
        assert_eq!(access.known("").0, [false, true].into());
        access.calling("leave");
        access.called("leave");
        assert_eq!(access.known("").0, [false].into(), "nothing was answered in the middle of this one");
    }

    #[test]
    fn a_server_that_is_gone_or_moved_has_no_token() {
        let (here, there) = (["a@1".to_owned()], ["a@2".to_owned()]);
        let mut access = Access::default();
        authorized(&mut access, 1);
        access.configuring(&here, &there);
        access.not_configured();
        assert_eq!(access.known("a").1, [None, Some(1)].into(), "as before: it may have had none");
        access.configured(&here, &here);
        assert!(access.may_have("a", 1));
        access.configured(&here, &there);
        assert_eq!(access.known("a").1, [None].into());
    }
}
