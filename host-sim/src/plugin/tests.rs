//! Negotiation with plugins that do not fit.

use super::*;

/// A handshake partner whose `info` names it.
fn introduce(io: *mut abi::vmsf_handshake, chosen: u32, api: *const abi::vmsf_api) {
    let info = abi::vmsf_info {
        struct_size: size_of::<abi::vmsf_info>() as u32,
        config_schema: 1,
        status_schema: 1,
        reserved: 0,
        id: c"other".as_ptr(),
        name: c"Another plugin".as_ptr(),
        version: c"9.8.7".as_ptr(),
        build: c"test".as_ptr(),
    };
    // SAFETY: the test's own handshake.
    let io = unsafe { &mut *io };
    io.abi_chosen = chosen;
    io.info = Box::leak(Box::new(info));
    io.api = api;
}

/// A table of which every word is `word` but the first, its size.
fn table(size: usize, word: usize) -> *const abi::vmsf_api {
    let mut words = vec![word; size_of::<abi::vmsf_api>() / size_of::<usize>()];
    words[0] = size;
    words.leak().as_ptr().cast()
}

unsafe extern "C" fn refuses(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    introduce(io, 0, std::ptr::null());
    abi::VMSF_ERR_ABI
}

unsafe extern "C" fn chooses_another(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    introduce(io, 2, std::ptr::null());
    abi::VMSF_OK
}

unsafe extern "C" fn has_no_table(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    introduce(io, 1, std::ptr::null());
    abi::VMSF_OK
}

unsafe extern "C" fn has_a_small_table(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    introduce(io, 1, table(16, 1));
    abi::VMSF_OK
}

unsafe extern "C" fn has_a_null_member(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    introduce(io, 1, table(size_of::<abi::vmsf_api>(), 0));
    abi::VMSF_OK
}

unsafe extern "C" fn fails(_io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    abi::VMSF_ERR_INVALID
}

#[test]
fn a_plugin_that_does_not_fit_is_refused_and_both_sides_are_named() {
    let small = format!("the plugin's table has 16 bytes, the one of ABI major 1 has {}", size_of::<abi::vmsf_api>());
    let cases: [(abi::vmsf_entry_fn, &str, &str); 6] = [
        (refuses, "host and plugin have no ABI major in common", "other 9.8.7 (test), refuses ABI 1"),
        (chooses_another, "the plugin chose ABI major 2, which was not offered", "other 9.8.7 (test), ABI 2.0"),
        (has_no_table, "the plugin gave no table of functions", "other 9.8.7 (test), ABI 1.0"),
        (has_a_small_table, &small, "other 9.8.7 (test), ABI 1.0"),
        (has_a_null_member, "member 1 of the plugin's table is NULL", "other 9.8.7 (test), ABI 1.0"),
        (fails, "the entry function gave -1", "does not say who it is, refuses ABI 1"),
    ];
    for (entry, what, plugin) in cases {
        let text = negotiate(entry, Path::new("x.so")).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
        let host = format!("host-sim {}, ABI 1.0", env!("CARGO_PKG_VERSION"));
        assert_eq!(text, format!("x.so: {what}\n  host:   {host}\n  plugin: {plugin}"));
    }
}

#[test]
fn an_error_shows_call_code_text_and_report() {
    let error = CallError {
        call: "configure",
        code: abi::VMSF_ERR_CONFIG,
        name: "VMSF_ERR_CONFIG".into(),
        text: "1 fault".into(),
        report: "{}".into(),
    };
    assert_eq!(error.to_string(), "configure: VMSF_ERR_CONFIG: 1 fault: {}");
}
