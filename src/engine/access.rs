//! Whether this failover server may act at all: its place in the cluster, and its login on each monitored server.
//!
//! Credentials never come here: they wait beside the engine for the operation that needs them. Called by `engine` alone.

use super::Engine;
use super::output::{Actor, Operation, OperationKind, Outcome, Output, What, With};
use super::policy::ServerKey;
use super::takeover::Unsettled;
use crate::time::Mono;

/// Who is behind an operation: the actor, the call, and why in a stable word.
pub(super) type Behind = (Actor, Option<u64>, &'static str);

impl Engine {
    /// This failover server is part of the cluster, or no longer.
    pub(super) fn cluster_is(&mut self, joined: bool, by: (Option<Actor>, Option<u64>), out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.joined, joined) != joined {
            self.unsettled = Unsettled::All;
            let (actor, request) = by;
            out.push(Output { server: None, actor, request, what: What::Cluster { joined } });
        }
    }

    pub(super) fn begin_access(
        &mut self,
        now: Mono,
        kind: OperationKind,
        server: Option<ServerKey>,
        (actor, request, with): (String, u64, With),
        out: &mut Vec<Output>,
    ) {
        let (id, deadline) = (self.new_id(), now + self.policy.operation_timeout);
        let behind = (Actor::Operator(actor), Some(request), "operator");
        self.begin(Operation { deadline, with, ..Operation::new(id, kind, server, behind) }, out);
    }

    /// The host has logged in, revoked, or joined.
    pub(super) fn access_changed(&mut self, operation: &Operation, out: &mut Vec<Output>) {
        let by = match operation.kind {
            OperationKind::Authorize => Some(operation.id),
            OperationKind::Deauthorize => None,
            _ => return self.cluster_is(true, (Some(operation.actor.clone()), operation.request), out),
        };
        let Some(key) = operation.server else { return };
        self.set_access(key, by, (Some(operation.actor.clone()), operation.request), out);
    }

    /// There is this token for the server, known by the operation that brought it, or none. Said where that is news, and to whoever asked for it.
    pub(super) fn set_access(
        &mut self,
        key: ServerKey,
        by: Option<u64>,
        (actor, request): (Option<Actor>, Option<u64>),
        out: &mut Vec<Output>,
    ) {
        let Some(server) = self.get_mut(key) else { return };
        let was = std::mem::replace(&mut server.access, by);
        if was != by || request.is_some() {
            out.push(Output { server: Some(key), actor, request, what: What::Access { by, was } });
            self.unsettled.mark(key);
        }
    }

    /// Its credentials are gone with the life that knew them.
    pub(super) fn interrupted(
        &mut self,
        (kind, server): (OperationKind, Option<ServerKey>),
        (actor, request): (String, u64),
        out: &mut Vec<Output>,
    ) {
        let behind = (Actor::Operator(actor), Some(request), "operator");
        let operation = Operation::new(self.new_id(), kind, server, behind);
        let error =
            Some("interrupted: the credentials were forgotten when the plugin stopped; give them again".to_owned());
        let what = What::Completed { op: operation.id, kind, outcome: Outcome::Interrupted, error };
        out.push(operation.says(what));
    }
}
