//! A failover server that did not run declares nobody failed for that: the real worker, in a process that the system stops for a while.
//!
//! The one test of its file starts itself again, since what is stopped is the whole process.

#![cfg(target_os = "linux")]

#[path = "support/rig.rs"]
mod rig;

use std::process::Command;

use rig::{Callback, KEEP_ALIVE, Rig, SECOND, abi, config, expect};

const STOPPED: &str = "VMSF_TEST_IS_STOPPED";
/// What is left of the keep-alive time when the process is stopped, and for how long it is: past the deadline, and the tolerance.
const LEFT_S: u64 = 10;
const PAUSE_S: u64 = 12;
/// A busy machine makes shorter ones of its own.
const SHORTEST_MS: u64 = 3_000;

#[test]
fn a_process_that_is_stopped_past_a_deadline_says_so_and_fails_nobody() {
    if std::env::var_os(STOPPED).is_some() {
        return is_stopped();
    }
    let this = std::env::current_exe().expect("this program");
    let name = "a_process_that_is_stopped_past_a_deadline_says_so_and_fails_nobody";
    let output = Command::new(this).args(["--exact", name, "--nocapture"]).env(STOPPED, "1").output().expect("itself");
    assert!(output.status.success(), "{output:?}");
}

fn is_stopped() {
    let mut config = config(&["a"]);
    config["pause_tolerance_s"] = 1.into();
    let rig = Rig::with(false, &config);
    expect(rig.start(), abi::VMSF_OK, "start");
    let stamp = rig.now() - KEEP_ALIVE + LEFT_S * SECOND;
    expect(rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK, "notify");
    rig.probe.wait("keep_alive", |callback| callback.is("health", "keep_alive"));
    let me = std::process::id();
    let freezer = format!("kill -STOP {me}; sleep {PAUSE_S}; kill -CONT {me}");
    let mut freezer = Command::new("sh").args(["-c", &freezer]).spawn().expect("a shell");
    let is_ours = |callback: &Callback| {
        matches!(callback, Callback::Event { json, .. }
            if json["code"] == "paused" && json["details"]["ms"].as_u64() >= Some(SHORTEST_MS))
    };
    let paused = rig.probe.wait("paused", is_ours);
    assert!(freezer.wait().expect("its end").success());
    let Callback::Event { json, mono_ns, .. } = paused else { panic!("no event") };
    // A wake-up was planned a second after the stop at the latest.
    assert!(json["details"]["ms"].as_u64().is_some_and(|ms| ms >= 1000 * (PAUSE_S - 2)), "{json}");
    assert!(mono_ns > stamp + KEEP_ALIVE, "the pause was too short to show anything");
    // A stop delivers whatever was decided.
    expect(rig.stop(20_000), abi::VMSF_OK, "stop");
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 0);
}
