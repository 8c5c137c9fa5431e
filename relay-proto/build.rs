//! Generates the wire types with protox: no `protoc` is needed on the machine (docs/adr/0001).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos =
        ["link.proto", "spool.proto", "operator.proto", "trust.proto", "access.proto", "audit.proto"];
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(protos, ["proto"])?;
    let mut calls = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            calls.extend(service.method.iter().map(|method| format!("/{name}/{}", method.name())));
        }
    }
    calls.sort();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("calls.rs"), format!("&{calls:?}"))?;
    tonic_prost_build::configure()
        .build_transport(false)
        // They hold secrets (src/hidden.rs).
        .skip_debug([".relay.access.v1.LoginRequest", ".relay.access.v1.LoginReply"])
        .bytes(".relay.link.v1.Dispatch.envelope")
        .bytes(".relay.link.v1.SignedEnvelope.body")
        .bytes(".relay.link.v1.Cancel.seal")
        .bytes(".relay.link.v1.SealedCancel.body")
        .bytes(".relay.link.v1.ReturnGroup.body")
        .bytes(".relay.link.v1.Fragment.data")
        .bytes(".relay.link.v1.Trust.bundle")
        .bytes(".relay.operator.v1.Returns.body")
        .compile_fds(files)?;
    Ok(())
}
