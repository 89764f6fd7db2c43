//! Tells the linker that the plugin stays mapped (header, rule 13), and the plugin what it was built as.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo:rustc-env=VMSF_BUILD={} {}", of("PROFILE"), of("TARGET"));
    if of("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
