//! The health of one monitored server: what its events and its silence say.
//!
//! A deadline is never stored: it is computed from the instants that it counts from and the timeouts in force, so that a
//! reconfigured timeout needs no second rule. Never decides what follows from a failure (that is `takeover`).
//! Called by `engine` alone.

use super::policy::Timeouts;
use crate::time::{Mono, Span};

/// What the host reports of a monitored server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A network connection was made.
    Connected,
    /// The network connection ended.
    Disconnected,
    /// The startup message came.
    Startup,
    /// A keep-alive message came.
    KeepAlive,
    /// It was shut down normally.
    ShutdownNormal,
    /// It exited with an error.
    ShutdownAbnormal,
}

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [EventKind; 6] = [
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::Startup,
        EventKind::KeepAlive,
        EventKind::ShutdownNormal,
        EventKind::ShutdownAbnormal,
    ];

    /// The name in logs and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Connected => "connected",
            EventKind::Disconnected => "disconnected",
            EventKind::Startup => "startup",
            EventKind::KeepAlive => "keep_alive",
            EventKind::ShutdownNormal => "shutdown_normal",
            EventKind::ShutdownAbnormal => "shutdown_abnormal",
        }
    }
}

/// The phase that a monitored server is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was heard yet.
    Unknown,
    /// Connected, no startup message yet.
    Connected,
    /// Started, no keep-alive yet.
    Started,
    /// It keeps alive.
    KeepAlive,
    /// Shut down normally.
    NormalShutdown,
    /// Exited with an error.
    AbnormalShutdown,
    /// A timeout ran out.
    Failed,
}

impl Phase {
    /// The name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Unknown => "unknown",
            Phase::Connected => "connected",
            Phase::Started => "started",
            Phase::KeepAlive => "keep_alive",
            Phase::NormalShutdown => "normal_shutdown",
            Phase::AbnormalShutdown => "abnormal_shutdown",
            Phase::Failed => "failed",
        }
    }
}

/// Which timeout ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// No startup message in time.
    ConnectedTimeout,
    /// No first keep-alive in time.
    StartedTimeout,
    /// No new keep-alive in time.
    KeepAliveTimeout,
    /// Not restarted in time after a normal shutdown.
    NormalShutdownTimeout,
    /// Not restarted in time after an exit with an error.
    AbnormalShutdownTimeout,
    /// Known from before the plugin started, and silent since.
    NotSeenSinceStart,
}

impl FailReason {
    /// All reasons.
    pub const ALL: [FailReason; 6] = [
        FailReason::ConnectedTimeout,
        FailReason::StartedTimeout,
        FailReason::KeepAliveTimeout,
        FailReason::NormalShutdownTimeout,
        FailReason::AbnormalShutdownTimeout,
        FailReason::NotSeenSinceStart,
    ];

    /// The name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            FailReason::ConnectedTimeout => "connected_timeout",
            FailReason::StartedTimeout => "started_timeout",
            FailReason::KeepAliveTimeout => "keep_alive_timeout",
            FailReason::NormalShutdownTimeout => "normal_shutdown_timeout",
            FailReason::AbnormalShutdownTimeout => "abnormal_shutdown_timeout",
            FailReason::NotSeenSinceStart => "not_seen_since_start",
        }
    }
}

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Another phase was entered.
    Entered {
        /// The phase before.
        from: Phase,
    },
    /// A keep-alive in `keep_alive`.
    Rearmed,
    /// The phase and its deadline stay.
    Stayed,
    /// Late news of an earlier life of the server.
    Stale,
    /// Nothing new in this phase.
    Ignored,
}

/// What the last message said of the network connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing was heard since the start.
    #[default]
    Unknown,
    /// Something came over it.
    Up,
    /// It ended, and nothing has come since.
    Down,
}

impl Link {
    /// The name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Link::Unknown => "unknown",
            Link::Up => "up",
            Link::Down => "down",
        }
    }
}

/// How long the plugin did not run.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// By the monotonic clock, until now.
    pub late: Span,
    /// The system slept, unseen by the monotonic clock.
    pub slept: Span,
}

impl Pause {
    /// All of it.
    pub fn whole(self) -> Span {
        self.late + self.slept
    }

    /// What of it a wait that began at `from` has lost: one that began meanwhile only the rest.
    pub fn since(self, from: Mono, now: Mono) -> Span {
        self.late.min(now - from) + self.slept
    }
}

/// An instant that a deadline counts from, and by how much pauses have moved that deadline.
#[derive(Clone, Copy, Debug)]
struct Clock {
    from: Mono,
    moved: Span,
}

impl Clock {
    fn starting(from: Mono) -> Clock {
        Clock { from, moved: Span::ZERO }
    }

    fn end(self, timeout: Span) -> Mono {
        self.from + timeout + self.moved
    }

    fn raise(&mut self, timeout: Span, earliest: Mono) {
        self.moved = self.moved + (earliest - self.end(timeout));
    }
}

/// How long silence may last before no message but a keep-alive puts a failure off any more.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    clock: Clock,
    was_normal_shutdown: bool,
}

impl Anchor {
    fn timeout(&self, timeouts: &Timeouts) -> Span {
        let down = timeouts.shutdown(self.was_normal_shutdown);
        timeouts.keep_alive + down + timeouts.connected + timeouts.started
    }
}

/// The health of one server. `Default` is a server never seen.
#[derive(Clone, Debug)]
pub struct Health {
    phase: Phase,
    entered_at: Mono,
    /// From the phase's entry, in `keep_alive` from the last keep-alive.
    clock: Clock,
    /// In `abnormal_shutdown` after a normal one: that one's clock, which runs on.
    normal_shutdown: Option<Clock>,
    /// In `unknown` after a start: whether the server was in `normal_shutdown` before.
    was_normal_before_start: Option<bool>,
    anchor: Option<Anchor>,
    /// A pause has raised the deadline since the last event.
    raised: bool,
    /// When the last pause was noticed.
    paused_at: Mono,
    /// Messages were lost: no failure before this instant.
    not_before: Mono,
    last_event_at: Option<Mono>,
    /// When each kind of message came last; the beginning of time is never.
    heard_at: [Mono; EventKind::ALL.len()],
    link: Link,
    /// An event came, in this life of the plugin or an earlier one.
    seen: bool,
    reason: Option<FailReason>,
    failed_at: Mono,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            phase: Phase::Unknown,
            entered_at: Mono(0),
            clock: Clock::starting(Mono(0)),
            normal_shutdown: None,
            was_normal_before_start: None,
            anchor: None,
            raised: false,
            paused_at: Mono(0),
            not_before: Mono(0),
            last_event_at: None,
            heard_at: [Mono(0); EventKind::ALL.len()],
            link: Link::Unknown,
            seen: false,
            reason: None,
            failed_at: Mono(0),
        }
    }
}

impl Health {
    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When the phase was entered.
    pub fn entered_at(&self) -> Mono {
        self.entered_at
    }

    /// Why and at which deadline it failed, while it is `failed`.
    pub fn failure(&self) -> Option<(FailReason, Mono)> {
        self.reason.map(|reason| (reason, self.failed_at))
    }

    /// The stamp that later messages are not earlier than: that of the last one.
    pub fn last_event_at(&self) -> Option<Mono> {
        self.last_event_at
    }

    /// When a message of this kind came last, in this life of the process.
    pub fn heard_at(&self, kind: EventKind) -> Option<Mono> {
        Some(self.heard_at[kind as usize]).filter(|at| *at > Mono(0))
    }

    /// Whether keep-alives can only put its deadline off: it keeps alive, and no pause has moved its deadline since the last of them. (After a
    /// pause the next one may bring it forward.)
    pub fn keep_alives_only_defer(&self) -> bool {
        self.phase == Phase::KeepAlive && self.clock.moved == self.paused_at - self.clock.from
    }

    /// Whether a keep-alive stamped so would change nothing: it was the last message.
    pub fn knows_keep_alive(&self, at: Mono) -> bool {
        self.last_event_at == Some(at) && self.heard_at[EventKind::KeepAlive as usize] == at && self.link == Link::Up
    }

    /// What the last message said of the connection.
    pub fn link(&self) -> Link {
        self.link
    }

    /// `unknown` because the plugin started, not because nothing was ever heard.
    pub fn unknown_after_start(&self) -> bool {
        self.phase == Phase::Unknown && self.was_normal_before_start.is_some()
    }

    /// Takes an event in; `at` is not later than now.
    pub fn event(&mut self, kind: EventKind, at: Mono, timeouts: &Timeouts) -> Effect {
        let at = self.last_event_at.map_or(at, |last| at.max(last));
        let effect = match self.target(kind, at, timeouts) {
            Target::Enter(phase) => self.enter(phase, at),
            Target::Rearm => {
                self.clock = self.clock_from(at);
                self.anchor_here(at);
                Effect::Rearmed
            }
            Target::Stay => Effect::Stayed,
            Target::Stale => Effect::Stale,
            Target::Ignore => Effect::Ignored,
        };
        self.last_event_at = Some(at);
        self.heard_at[kind as usize] = at;
        self.link = match kind {
            EventKind::Connected | EventKind::Startup | EventKind::KeepAlive => Link::Up,
            EventKind::Disconnected => Link::Down,
            // Its supervisor may say so over another connection.
            EventKind::ShutdownNormal | EventKind::ShutdownAbnormal => self.link,
        };
        self.seen = true;
        self.raised = false;
        effect
    }

    /// The table of section 3, cell by cell.
    fn target(&self, kind: EventKind, at: Mono, timeouts: &Timeouts) -> Target {
        use EventKind as E;
        use Phase as P;
        match (kind, self.phase) {
            (E::Disconnected, _) => Target::Stay,
            (E::Connected, P::Connected) | (E::Startup, P::Started) => Target::Stay,
            (E::Connected, _) => Target::Enter(P::Connected),
            (E::Startup, _) => Target::Enter(P::Started),
            (E::KeepAlive, P::KeepAlive) => Target::Rearm,
            (E::KeepAlive, P::NormalShutdown) => Target::Stale,
            // The supervisor's report may overtake the server's last words, but not by more than a keep-alive's time.
            (E::KeepAlive, P::AbnormalShutdown) if at <= self.entered_at + timeouts.keep_alive => Target::Stale,
            (E::KeepAlive, _) => Target::Enter(P::KeepAlive),
            (E::ShutdownNormal, P::NormalShutdown) | (E::ShutdownAbnormal, P::AbnormalShutdown) => Target::Stay,
            (E::ShutdownNormal, P::AbnormalShutdown) => Target::Ignore,
            (E::ShutdownNormal | E::ShutdownAbnormal, P::Failed) => Target::Ignore,
            (E::ShutdownNormal, _) => Target::Enter(P::NormalShutdown),
            (E::ShutdownAbnormal, _) => Target::Enter(P::AbnormalShutdown),
        }
    }

    fn enter(&mut self, phase: Phase, at: Mono) -> Effect {
        let from = self.phase;
        self.normal_shutdown =
            (phase == Phase::AbnormalShutdown && from == Phase::NormalShutdown).then_some(self.clock);
        self.phase = phase;
        self.entered_at = at;
        self.clock = self.clock_from(at);
        self.was_normal_before_start = None;
        self.reason = None;
        if phase == Phase::KeepAlive || from == Phase::Failed || self.anchor.is_none() {
            self.anchor_here(at);
        }
        if let (Phase::NormalShutdown, Some(anchor)) = (phase, &mut self.anchor) {
            anchor.was_normal_shutdown = true;
        }
        Effect::Entered { from }
    }

    fn anchor_here(&mut self, at: Mono) {
        self.anchor = Some(Anchor { clock: self.clock_from(at), was_normal_shutdown: false });
    }

    /// A message stamped before a pause ended, but taken in after it, counts from that end: its wait was the plugin's sleep.
    fn clock_from(&self, at: Mono) -> Clock {
        Clock { from: at, moved: self.paused_at - at }
    }

    /// When it fails unless something is heard.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<Mono> {
        let own = self.clock.end(self.timeout(timeouts)?);
        let normal = self.normal_shutdown.map(|clock| clock.end(timeouts.normal_shutdown));
        let silence = self.anchor.map(|anchor| anchor.clock.end(anchor.timeout(timeouts)));
        let end = [normal, silence].into_iter().flatten().fold(own, Mono::min);
        Some(end.max(self.not_before))
    }

    /// The timeout of the phase itself; None where the phase has no end.
    fn timeout(&self, timeouts: &Timeouts) -> Option<Span> {
        match self.phase {
            Phase::Unknown => self.was_normal_before_start.map(|normal| timeouts.shutdown(normal)),
            Phase::Connected => Some(timeouts.connected),
            Phase::Started => Some(timeouts.started),
            Phase::KeepAlive => Some(timeouts.keep_alive),
            Phase::NormalShutdown => Some(timeouts.normal_shutdown),
            Phase::AbnormalShutdown => Some(timeouts.abnormal_shutdown),
            Phase::Failed => None,
        }
    }

    /// Declares it failed, at its deadline. None while it has none, or not yet.
    pub fn fail(&mut self, now: Mono, timeouts: &Timeouts) -> Option<(Phase, FailReason)> {
        let deadline = self.deadline(timeouts).filter(|deadline| *deadline <= now)?;
        let from = self.phase;
        let reason = match from {
            Phase::Unknown => FailReason::NotSeenSinceStart,
            Phase::Connected => FailReason::ConnectedTimeout,
            Phase::Started => FailReason::StartedTimeout,
            Phase::KeepAlive => FailReason::KeepAliveTimeout,
            Phase::NormalShutdown => FailReason::NormalShutdownTimeout,
            Phase::AbnormalShutdown => FailReason::AbnormalShutdownTimeout,
            Phase::Failed => return None,
        };
        self.phase = Phase::Failed;
        self.entered_at = deadline;
        self.was_normal_before_start = None;
        self.normal_shutdown = None;
        self.reason = Some(reason);
        self.failed_at = deadline;
        Some((from, reason))
    }

    /// The plugin did not run: silence meanwhile says nothing.
    pub fn paused(&mut self, pause: Pause, now: Mono, timeouts: &Timeouts) {
        self.paused_at = now;
        if self.timeout(timeouts).is_none() {
            return;
        }
        self.clocks().for_each(|clock| clock.moved = clock.moved + pause.since(clock.from, now));
        // Only what still ran when the pause began.
        if self.not_before > Mono(now.0.saturating_sub(pause.late.0)) {
            self.not_before = self.not_before + pause.whole();
        }
        let earliest = now + timeouts.keep_alive;
        if !self.raised && self.deadline(timeouts).is_some_and(|deadline| deadline < earliest) {
            self.raised = true;
            self.raise_to(earliest, timeouts);
        }
    }

    /// Gives the server time until `earliest` by every clock that runs.
    fn raise_to(&mut self, earliest: Mono, timeouts: &Timeouts) {
        if let Some(timeout) = self.timeout(timeouts) {
            self.clock.raise(timeout, earliest);
        }
        if let Some(clock) = &mut self.normal_shutdown {
            clock.raise(timeouts.normal_shutdown, earliest);
        }
        if let Some(anchor) = &mut self.anchor {
            let timeout = anchor.timeout(timeouts);
            anchor.clock.raise(timeout, earliest);
        }
    }

    fn clocks(&mut self) -> impl Iterator<Item = &mut Clock> {
        let anchor = self.anchor.as_mut().map(|anchor| &mut anchor.clock);
        std::iter::once(&mut self.clock).chain(self.normal_shutdown.as_mut()).chain(anchor)
    }

    /// Messages of this server were lost, the newest stamped `at`: silence says nothing for a normal restart's time.
    pub fn messages_lost(&mut self, at: Mono, timeouts: &Timeouts) {
        self.not_before = self.not_before.max(at + timeouts.normal_shutdown);
    }

    /// What a later life has to know: whether it was ever seen, and whether it went in good order.
    pub fn remembered(&self) -> (bool, bool) {
        let normal = self.phase == Phase::NormalShutdown || self.was_normal_before_start == Some(true);
        (self.seen, normal)
    }

    /// What an earlier life knew; `start` makes of it what it means.
    pub fn recall(&mut self, seen: bool, shut_down_normally: bool) {
        self.seen = seen;
        self.was_normal_before_start = seen.then_some(shut_down_normally);
    }

    /// The plugin starts: what it knew of the server is old.
    pub fn start(&mut self, now: Mono) {
        let was_normal = self.phase == Phase::NormalShutdown || self.was_normal_before_start == Some(true);
        *self = Health { seen: self.seen, heard_at: self.heard_at, ..Health::default() };
        if self.seen {
            self.entered_at = now;
            self.clock = Clock::starting(now);
            self.was_normal_before_start = Some(was_normal);
        }
    }
}

enum Target {
    Enter(Phase),
    Rearm,
    Stay,
    Stale,
    Ignore,
}
