//! `recordings_ini` through the built library: bytes in and out, its limits, and what it says when the configuration lacks something.

#[path = "support/polite.rs"]
mod polite;

use host_sim::plugin::{CreateOptions, Event, Host, Instance, Mode, Operation};
use polite::Checked;
use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

struct Silent;

impl Host for Silent {
    fn event(&self, _: Event) {}
    fn begin(&self, _: Operation) {}
}

fn config(folder: &TempDir) -> Value {
    json!({
        "schema": 1,
        "backup_directory": folder.path().join("backups"),
        "store_path": folder.path().join("video"),
        "server_communication": {"address": "10.0.0.1"},
        "recordings_ini": {"section": "Failover", "separator": ","},
        "monitored_servers": [{"id": "a", "host": "192.168.1.5"}, {"id": "b", "host": "b.example.org"}],
    })
}

fn instance(folder: &TempDir, config: Value) -> Checked {
    let options = CreateOptions::new(folder.path().join("state"), Some(config));
    Checked::create(Mode::HostDrives, &options, Box::new(Silent)).unwrap_or_else(|error| panic!("{error}"))
}

/// The code of the refusal, which is also the last error, and its text.
fn refused(instance: &Instance, server: u64, ini: &[u8]) -> (abi::vmsf_result, String) {
    let code = instance.recordings_ini(server, ini).unwrap_err().code;
    let (last, text) = instance.last_error().unwrap();
    assert_eq!(last, code);
    (code, text)
}

#[test]
fn the_line_is_written_into_bytes_of_any_8_bit_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(&folder, config(&folder));
    let (a, b) = (instance.server("a").unwrap(), instance.server("b").unwrap());
    let ini = b"[General]\r\nName=B\xFCro \x80\r\n[Failover]\r\nValue=10.0.0.12,192.168.1.5\r\n";
    let once = instance.recordings_ini(a, ini).unwrap();
    assert_eq!(once, [&ini[..], b"Value=10.0.0.1,192.168.1.5\r\n"].concat());
    assert_eq!(instance.recordings_ini(a, &once).unwrap(), once);
    assert_eq!(instance.recordings_ini(b, b"").unwrap(), b"[Failover]\r\nValue=10.0.0.1,b.example.org\r\n");
}

#[test]
fn a_server_that_has_another_address_now_has_its_line_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(&folder, config(&folder));
    let a = instance.server("a").unwrap();
    let before = instance.recordings_ini(a, b"").unwrap();
    instance.edit(&json!({"change": [{"id": "a", "host": "192.168.1.6"}]}).to_string(), false).unwrap();
    let after = instance.recordings_ini(a, &before).unwrap();
    assert_eq!(after, b"[Failover]\r\nValue=10.0.0.1,192.168.1.6\r\n");
}

#[test]
fn a_long_text_fits_up_to_64_kib_and_not_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(&folder, config(&folder));
    let a = instance.server("a").unwrap();
    let mut ini = vec![b'x'; 64 * 1024];
    assert!(instance.recordings_ini(a, &ini).unwrap().starts_with(&ini));
    ini.push(b'x');
    let (code, text) = refused(&instance, a, &ini);
    assert_eq!((code, text.as_str()), (abi::VMSF_ERR_LIMIT, "ini_text has 65537 bytes, allowed are 65536"));
}

#[test]
fn utf16_and_nul_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(&folder, config(&folder));
    let a = instance.server("a").unwrap();
    for (ini, word) in [(&b"\xFF\xFE[\0S\0]\0"[..], "UTF-16"), (b"[S]\0", "NUL at byte 3")] {
        let (code, text) = refused(&instance, a, ini);
        assert!(code == abi::VMSF_ERR_UTF8 && text.contains(word), "{code} {text}");
    }
}

#[test]
fn without_the_keys_of_the_configuration_it_says_which_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    let ini = config.as_object_mut().unwrap().remove("recordings_ini").unwrap();
    let here = config.as_object_mut().unwrap().remove("server_communication").unwrap();
    let instance = instance(&folder, config);
    let a = instance.server("a").unwrap();
    for (key, value, pointer) in [
        ("recordings_ini", ini, "/recordings_ini/section"),
        ("server_communication", here, "/server_communication/address"),
    ] {
        let (code, text) = refused(&instance, a, b"");
        assert!(code == abi::VMSF_ERR_STATE && text.contains(pointer), "{code} {text}");
        instance.edit(&json!({"set": {key: value}}).to_string(), false).unwrap();
    }
    instance.recordings_ini(a, b"").unwrap();
}

#[test]
fn a_handle_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let instance = instance(&folder, config(&folder));
    let a = instance.server("a").unwrap();
    assert_eq!(instance.recordings_ini(0, b"").unwrap_err().code, abi::VMSF_ERR_HANDLE);
    instance.edit(&json!({"remove": ["a"]}).to_string(), false).unwrap();
    assert_eq!(instance.recordings_ini(a, b"").unwrap_err().code, abi::VMSF_ERR_HANDLE);
}
