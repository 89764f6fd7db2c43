//! The host through the first door, that of every language: `libloading` and the entry symbol.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use vms_failover_abi as abi;

fn entry(library: &Path) -> Result<abi::vmsf_entry_fn, String> {
    // SAFETY: whoever runs this vouches for the library; its initialisers run here.
    let opened = unsafe { libloading::Library::new(library) };
    let opened = opened.map_err(|error| {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        format!("the plugin does not load: {}: {why}", library.display())
    })?;
    // SAFETY: a library that exports this symbol promises the signature of the header.
    let symbol = unsafe { opened.get::<abi::vmsf_entry_fn>(abi::VMSF_ENTRY_SYMBOL) };
    let symbol = symbol.map(|symbol| *symbol);
    let entry = symbol.map_err(|_| {
        format!("not a vms-failover plugin, it has no {}: {}", abi::VMSF_ENTRY_SYMBOL, library.display())
    })?;
    // The image stays mapped anyway (rule 13), so nothing is gained by carrying the owner along.
    std::mem::forget(opened);
    Ok(entry)
}

fn main() -> ExitCode {
    failover_host::main(entry)
}
