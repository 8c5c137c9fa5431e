//! Every call that there is, and every field of its request: read from the `.proto` files, so that what is added later is
//! attacked too.

use std::path::Path;

/// Kinds of fields in a descriptor that can hold what an attacker writes (google.protobuf.FieldDescriptorProto.Type).
const MESSAGE: i32 = 11;
const STRING: i32 = 9;
const BYTES: i32 = 12;
/// Messages within messages that are followed.
const DEPTH: usize = 3;

/// A call.
#[derive(Debug, Clone)]
pub struct Method {
    /// `/relay.operator.v1.Operator/Submit`.
    pub path: String,
    /// The caller sends a stream.
    pub takes_stream: bool,
    /// Every place in its request where a text or bytes can stand.
    pub fields: Vec<Field>,
}

/// A place in a request: field numbers from the outside in.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, for people: `job.function`.
    pub name: String,
    numbers: Vec<u32>,
    /// It takes any bytes, and not only text.
    pub is_bytes: bool,
}

impl Field {
    /// The encoding of a request in which only this field is set.
    pub fn request(&self, value: &[u8]) -> Vec<u8> {
        let inner_first = self.numbers.iter().rev();
        inner_first.fold(value.to_vec(), |value, number| delimited(*number, &value))
    }
}

/// A length-delimited field (wire type 2).
pub fn delimited(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(value.len() as u64));
    out.extend_from_slice(value);
    out
}

/// A number as protobuf writes it.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Every call of every service in the `.proto` files.
///
/// # Panics
/// They are not where they belong, or do not compile.
pub fn methods() -> Vec<Method> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay-proto/proto");
    let names = std::fs::read_dir(&dir)
        .expect("the .proto files")
        .filter_map(|e| e.ok()?.file_name().into_string().ok());
    let protos: Vec<String> = names.filter(|name| name.ends_with(".proto")).collect();
    let files = protox::compile(protos, [dir]).expect("files that compile").file;
    let messages: Vec<(String, _)> = files
        .iter()
        .flat_map(|file| file.message_type.iter().map(|m| (format!(".{}.{}", file.package(), m.name()), m)))
        .collect();
    let fields = |wanted: &str| {
        let mut open = vec![(wanted.to_owned(), String::new(), Vec::new())];
        let mut found = Vec::new();
        while let Some((message, prefix, numbers)) = open.pop() {
            let Some((_, message)) = messages.iter().find(|(name, _)| *name == message) else { continue };
            for field in &message.field {
                let name = format!("{prefix}{}", field.name());
                let numbers: Vec<u32> = numbers.iter().copied().chain([field.number() as u32]).collect();
                match field.r#type.unwrap_or_default() {
                    MESSAGE if numbers.len() < DEPTH => {
                        open.push((field.type_name().to_owned(), format!("{name}."), numbers));
                    }
                    kind @ (STRING | BYTES) => found.push(Field { name, numbers, is_bytes: kind == BYTES }),
                    _ => {}
                }
            }
        }
        found
    };
    let services =
        files.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let methods = services.flat_map(|(package, service)| {
        service
            .method
            .iter()
            .map(move |method| (format!("/{package}.{}/{}", service.name(), method.name()), method))
    });
    methods
        .map(|(path, method)| Method {
            path,
            takes_stream: method.client_streaming(),
            fields: fields(method.input_type()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surface_is_read_whole() {
        let methods = methods();
        let submit = methods.iter().find(|m| m.path == "/relay.operator.v1.Operator/Submit").expect("Submit");
        let names: Vec<&str> = submit.fields.iter().map(|f| f.name.as_str()).collect();
        assert!(["target", "function", "args"].iter().all(|name| names.contains(name)), "{names:?}");
        let schedule = methods.iter().find(|m| m.path.ends_with("/PutSchedule")).expect("PutSchedule");
        assert!(schedule.fields.iter().any(|f| f.name == "schedule.job.function"), "{:?}", schedule.fields);
        assert!(methods.iter().any(|m| m.path == "/relay.link.v1.Link/Attach" && m.takes_stream));
    }

    #[test]
    fn a_request_is_what_the_generated_code_reads() {
        use prost::Message as _;
        let put = methods().into_iter().find(|m| m.path.ends_with("/PutSchedule")).expect("PutSchedule");
        let field = put.fields.iter().find(|f| f.name == "schedule.job.function").expect("the field");
        let read = relay_proto::operator::PutScheduleRequest::decode(&field.request(b"cmd.run")[..])
            .expect("a request");
        assert_eq!(read.schedule.and_then(|s| s.job).map(|j| j.function).as_deref(), Some("cmd.run"));
    }
}
