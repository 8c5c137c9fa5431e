//! Generates the wire types with protox: no `protoc` is needed on the machine (docs/adr/0001).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["link.proto", "spool.proto", "operator.proto", "trust.proto", "access.proto", "audit.proto"];
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(protos, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".relay.link.v1.Dispatch.envelope")
        .bytes(".relay.link.v1.ReturnGroup.body")
        .bytes(".relay.link.v1.Fragment.data")
        .bytes(".relay.link.v1.Trust.bundle")
        .bytes(".relay.operator.v1.Returns.body")
        .compile_fds(files)?;
    Ok(())
}
