//! What each part of the code costs: the sizes of the functions in a build that keeps their names.
//!
//! What the compiler has put into its caller counts there; in the browser's module, which is built anew for this, it puts
//! nothing, so that the shares count and not the sum. A function of a library's that was made for a type of ours
//! counts as ours. No exact bill, then, but it says where to look.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Parts by the module that a name begins with; of two that fit the first one counts.
const PARTS: [(&str, &[&str]); 13] = [
    ("engine: consent", &["engine::consent", "engine::choice", "engine::permit", "engine::hold"]),
    ("engine: sending", &["engine::sending", "engine::queue", "engine::policy"]),
    ("engine: identity and calls", &["engine::identity", "engine::subject", "engine::call", "engine::calls"]),
    ("engine: erasures", &["engine::outbox"]),
    ("engine: messages and limits", &["engine::message", "engine::limits"]),
    ("engine: personal data", &["engine::personal"]),
    ("engine: the rest", &["engine"]),
    ("JSON", &["json"]),
    ("store", &["native::store", "journal"]),
    ("threads, handle, settings", &["native"]),
    (FACE, &[]),
    (BINDINGS, &[]),
    (LIBRARIES, &[]),
];
/// The project's own crate that a language binds to.
const FACE: &str = "face";
/// What its generator and support library have made.
const BINDINGS: &str = "bindings";
const LIBRARIES: &str = "core, alloc, std and others";

/// Bytes of code by part.
type Bill = BTreeMap<&'static str, u64>;

/// A table of what each part costs, a column for each file.
pub fn table(files: &[(&str, &[u8])]) -> Result<String> {
    let bills = files.iter().map(|(_, file)| bill(file)).collect::<Result<Vec<_>>>()?;
    let width = PARTS.iter().map(|(part, _)| part.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "bytes of code");
    for (name, _) in files {
        text += &format!(" {name:>20}");
    }
    let mut line = |part: &str, of: &dyn Fn(&Bill) -> u64| {
        text += &format!("\n{part:width$}");
        for bill in &bills {
            let (bytes, all) = (of(bill), bill.values().sum::<u64>().max(1));
            text += &format!(" {bytes:>12} {:>5.1} %", bytes as f64 * 100.0 / all as f64);
        }
    };
    for (part, _) in PARTS {
        line(part, &|bill| bill.get(part).copied().unwrap_or(0));
    }
    line("all", &|bill| bill.values().sum());
    Ok(text + "\n")
}

fn bill(file: &[u8]) -> Result<Bill> {
    let functions = match file {
        [0x7F, b'E', b'L', b'F', 2, 1, ..] => elf(file),
        [0, b'a', b's', b'm', ..] => wasm(file),
        _ => bail!("the parts of such a file are not known: neither ELF nor WebAssembly"),
    };
    let functions = functions.context("the file ends too early")?;
    let mut bill = Bill::new();
    for (name, size) in functions {
        *bill.entry(part(&name)).or_default() += size;
    }
    Ok(bill)
}

/// The part that a function belongs to, by its mangled name.
fn part(name: &str) -> &'static str {
    if let Some(module) = module(name, "7refrain") {
        for (part, prefixes) in PARTS {
            let fits = |prefix: &&str| {
                module.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if prefixes.iter().any(fits) {
                return part;
            }
        }
    }
    // By the number of letters, as names are mangled.
    if ["11refrain_ffi", "12refrain_wasm"].iter().any(|face| module(name, face).is_some()) {
        return FACE;
    }
    let bound =
        ["uniffi_", "ffi_", "core_", "__wbindgen", "__externref"].iter().any(|start| name.starts_with(start));
    let support = ["11uniffi_core", "6anyhow", "12wasm_bindgen"].iter().any(|it| name.contains(it));
    if bound || support { BINDINGS } else { LIBRARIES }
}

/// The first path in a mangled name (RFC 2603) that begins with this crate, without the crate. That is where a method
/// is written, which a demangled name does not say. At the end stands who needed the function, which is no path.
fn module(name: &str, krate: &str) -> Option<String> {
    let rest = name.get(name.find(krate)? + krate.len()..)?;
    (!rest.is_empty()).then(|| path(rest))
}

/// Identifiers that stand side by side, each after its length.
fn path(mut rest: &str) -> String {
    let mut path = Vec::new();
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (length, behind) = rest.split_at(digits);
        let name = length.parse().ok().and_then(|length| behind.split_at_checked(length));
        let Some((name, behind)) = name.filter(|(name, _)| !name.is_empty()) else { return path.join("::") };
        path.push(name);
        rest = behind;
    }
}

/// Names and sizes of the functions of an ELF file (64 bits, little-endian) by its symbol table.
fn elf(file: &[u8]) -> Option<Vec<(String, u64)>> {
    let header = |at: usize, len: usize| number(file, at, len);
    let (sections, entry, count) = (header(0x28, 8)?, header(0x3A, 2)?, header(0x3C, 2)?);
    let contents = |section: usize| {
        let head = sections + section * entry;
        let start = number(file, head + 0x18, 8)?;
        file.get(start..start + number(file, head + 0x20, 8)?)
    };
    const SYMBOLS: usize = 2;
    const FUNCTION: usize = 2;
    let table = (0..count).find(|section| header(sections + section * entry + 4, 4) == Some(SYMBOLS))?;
    let names = contents(header(sections + table * entry + 0x28, 4)?)?;
    // By address: several names may stand for one function.
    let mut functions = BTreeMap::new();
    for symbol in contents(table)?.chunks_exact(24) {
        if number(symbol, 4, 1)? & 15 == FUNCTION {
            let name = names.get(number(symbol, 0, 4)?..)?.split(|byte| *byte == 0).next()?;
            let name = String::from_utf8_lossy(name).into_owned();
            functions.insert(number(symbol, 8, 8)?, (name, number(symbol, 16, 8)? as u64));
        }
    }
    Some(functions.into_values().collect())
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Names and sizes of the functions of a WebAssembly module by its name section.
fn wasm(file: &[u8]) -> Option<Vec<(String, u64)>> {
    const NAMES: u8 = 0;
    const IMPORTS: u8 = 2;
    const CODE: u8 = 10;
    let mut rest = file.get(8..)?;
    let (mut imported, mut sizes, mut names) = (0, Vec::new(), BTreeMap::new());
    while let [id, ..] = *rest {
        rest = &rest[1..];
        let mut section = block(&mut rest)?;
        match id {
            IMPORTS => {
                for _ in 0..leb(&mut section)? {
                    block(&mut section)?;
                    block(&mut section)?;
                    imported += usize::from(import(&mut section)?);
                }
            }
            CODE => {
                for _ in 0..leb(&mut section)? {
                    sizes.push(block(&mut section)?.len() as u64);
                }
            }
            NAMES if block(&mut section)? == b"name" => {
                while let [kind, ..] = *section {
                    section = &section[1..];
                    let mut functions = block(&mut section)?;
                    const FUNCTIONS: u8 = 1;
                    for _ in 0..if kind == FUNCTIONS { leb(&mut functions)? } else { 0 } {
                        let index = leb(&mut functions)?;
                        names.insert(index, String::from_utf8_lossy(block(&mut functions)?).into_owned());
                    }
                }
            }
            _ => {}
        }
    }
    let named = sizes.into_iter().enumerate();
    Some(named.map(|(at, size)| (names.remove(&(imported + at)).unwrap_or_default(), size)).collect())
}

/// Passes what an import is; whether it is a function.
fn import(bytes: &mut &[u8]) -> Option<bool> {
    const FUNCTION: usize = 0;
    const TABLE: usize = 1;
    const GLOBAL: usize = 3;
    let kind = leb(bytes)?;
    match kind {
        FUNCTION => drop(leb(bytes)?),
        GLOBAL => drop((leb(bytes)?, leb(bytes)?)),
        _ => {
            // A table's kind, then the limits of a table or a memory; or the two numbers of a tag.
            if kind == TABLE {
                leb(bytes)?;
            }
            let has_maximum = leb(bytes)? & 1 == 1;
            leb(bytes)?;
            if has_maximum {
                leb(bytes)?;
            }
        }
    }
    Some(kind == FUNCTION)
}

/// A length and that many bytes.
fn block<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = leb(bytes)?;
    let (block, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(block)
}

/// A number in LEB128.
fn leb(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_where_it_is_written() {
        for (name, expected) in [
            ("_RNvMNtNtCs6N99_7refrain6engine5callsNtB4_6Engine12record_event", "engine: identity and calls"),
            ("_RNvMNtCs6N99_7refrain6engineNtB2_6Engine6handle", "engine: the rest"),
            ("_RINvNtCs1_4core3ptr13drop_in_placeNtNtNtCs2_7refrain6native5store5StoreEBL_", "store"),
            ("_RNvMNtCs1_4core3stre4trimCs6N99_7refrain", LIBRARIES),
            ("_RNvXNtCs1_11refrain_ffi4hostNtB2_4HostNtNtNtCs2_4core3ops4drop4Drop4drop", FACE),
            ("_RNvMs_Cs1_12refrain_wasmNtB4_4Core4feed", FACE),
            ("uniffi_refrain_ffi_fn_method_client_track", BINDINGS),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
    }

    #[test]
    fn reads_the_names_of_a_module() {
        let module = [
            b"\0asm\x01\0\0\0".as_slice(),
            b"\x02\x07\x01\x01a\x01b\0\0",     // imports a function
            b"\x0A\x06\x02\x01\x0B\x02\0\x0B", // two bodies
            b"\0\x10\x04name\x01\x09\x02\x01\x02xy\x02\x02zz",
        ]
        .concat();
        assert_eq!(wasm(&module), Some(vec![("xy".into(), 1), ("zz".into(), 2)]));
        for end in 9..module.len() {
            wasm(&module[..end]);
        }
    }
}
