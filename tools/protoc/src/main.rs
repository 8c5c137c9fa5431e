//! Stands in for `protoc` while dependencies are built: reads what prost-build tells it, and writes the descriptors with
//! protox.
//!
//! Owns the few arguments that prost-build uses. Anything else is an error, so that a newer prost-build is not
//! half understood. Our own wire types don't go through here (relay-proto/build.rs, docs/adr/0001).

use std::{env, ffi::OsString, fs, path::PathBuf, process::ExitCode};

use prost::Message as _;

/// What prost-build asks for: `--include_imports --include_source_info -o FILE -I DIR... PROTO...`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    imports: bool,
    source_info: bool,
    output: Option<PathBuf>,
    includes: Vec<PathBuf>,
    protos: Vec<PathBuf>,
}

impl Order {
    fn read(arguments: impl Iterator<Item = OsString>) -> Result<Order, String> {
        let mut order = Order::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or(format!("{argument:?} needs a value")).map(PathBuf::from);
            match argument.to_str() {
                Some("--include_imports") => order.imports = true,
                Some("--include_source_info") => order.source_info = true,
                Some("-o") => order.output = Some(value()?),
                Some("-I") => order.includes.push(value()?),
                Some(option) if option.starts_with('-') => return Err(format!("{option} is not known here")),
                _ => order.protos.push(PathBuf::from(argument)),
            }
        }
        Ok(order)
    }

    fn carry_out(self) -> Result<(), String> {
        let output = self.output.ok_or("-o FILE is missing")?;
        let mut compiler = protox::Compiler::new(&self.includes).map_err(|e| e.to_string())?;
        compiler.include_imports(self.imports).include_source_info(self.source_info);
        compiler.open_files(&self.protos).map_err(|e| format!("{e:?}"))?;
        let written = fs::write(&output, compiler.file_descriptor_set().encode_to_vec());
        written.map_err(|e| format!("{}: {e}", output.display()))
    }
}

fn main() -> ExitCode {
    match Order::read(env::args_os().skip(1)).and_then(Order::carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("protoc (tools/protoc): {why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(arguments: &[&str]) -> Result<Order, String> {
        Order::read(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_prost_build_says_is_understood_and_nothing_else() {
        let read = order(&["--include_imports", "-o", "out", "-I", "a", "-I", "b", "a/x.proto"]).unwrap();
        let expected = Order {
            imports: true,
            output: Some("out".into()),
            includes: vec!["a".into(), "b".into()],
            protos: vec!["a/x.proto".into()],
            ..Order::default()
        };
        assert_eq!(read, expected);
        assert!(order(&["--experimental_allow_proto3_optional"]).unwrap_err().contains("not known"));
        assert!(order(&["-o"]).unwrap_err().contains("needs a value"));
    }

    #[test]
    fn descriptors_hold_the_files_and_what_they_import() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (one, two) = ("syntax = \"proto3\"; message A {}", "syntax = \"proto3\"; import \"one.proto\";");
        fs::write(at("one.proto"), one).unwrap();
        fs::write(at("two.proto"), format!("{two} message B {{ A a = 1; }}")).unwrap();
        let wanted = |imports| Order {
            imports,
            output: Some(at("out")),
            includes: vec![dir.path().into()],
            protos: vec![at("two.proto")],
            ..Order::default()
        };
        for (imports, files) in [(true, 2), (false, 1)] {
            wanted(imports).carry_out().unwrap();
            // A FileDescriptorSet is nothing but files: each is one field 1 of bytes.
            let set = fs::read(at("out")).unwrap();
            assert_eq!(Files::decode(set.as_slice()).unwrap().file.len(), files);
        }
        fs::write(at("two.proto"), two).unwrap();
        fs::remove_file(at("one.proto")).unwrap();
        assert!(wanted(true).carry_out().unwrap_err().contains("one.proto"));
    }

    #[derive(prost::Message)]
    struct Files {
        #[prost(bytes = "vec", repeated, tag = "1")]
        file: Vec<Vec<u8>>,
    }
}
