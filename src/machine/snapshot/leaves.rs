//! A state taken apart into its leaves, each with its path (`nic.regs.rctl`, `cpu.gprs[4]`), for people who compare two.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt;

/// Paths and leaves.
pub(crate) type Leaves = Vec<(String, String)>;

/// Every leaf of a state in order, its path beginning with `prefix`.
pub(crate) fn leaves(prefix: &str, state: &impl Serialize) -> Leaves {
    let mut collector = Collector { path: prefix.to_owned(), leaves: Vec::new() };
    // Only what a `Serialize` impl itself refuses fails, and a machine's state has none that does.
    let _ = state.serialize(&mut collector);
    collector.leaves
}

struct Collector {
    path: String,
    leaves: Leaves,
}

impl Collector {
    fn leaf(&mut self, value: impl fmt::Display) {
        self.leaves.push((self.path.clone(), value.to_string()));
    }

    /// Takes apart what lies at `step` below here.
    fn below<T: Serialize + ?Sized>(
        &mut self,
        step: fmt::Arguments<'_>,
        value: &T,
    ) -> Result<(), fmt::Error> {
        let len = self.path.len();
        fmt::Write::write_fmt(&mut self.path, step)?;
        let result = value.serialize(&mut *self);
        self.path.truncate(len);
        result
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), fmt::Error> {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.below(format_args!("{dot}{name}"), value)
    }

    /// A list or map; how long it is is a leaf too, so that what only one side has is told.
    fn list(&mut self, end: Option<&'static str>) -> List<'_> {
        let len = self.path.len();
        if let Some(variant) = end {
            self.leaf(variant);
        }
        List { before: len, collector: self, next: 0, key: String::new(), counted: end.is_none() }
    }
}

/// What has numbered or keyed parts.
struct List<'a> {
    collector: &'a mut Collector,
    before: usize,
    next: usize,
    key: String,
    counted: bool,
}

impl List<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        let index = self.next;
        self.next += 1;
        self.collector.below(format_args!("[{index}]"), value)
    }

    fn finish(self) {
        self.collector.path.truncate(self.before);
        if self.counted {
            let len = self.next;
            let _ = self.collector.below(format_args!(".len"), &(len as u64));
        }
    }
}

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), fmt::Error> {
            self.leaf(value);
            Ok(())
        })*
    };
}

impl<'a> Serializer for &'a mut Collector {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = List<'a>;
    type SerializeStruct = List<'a>;
    type SerializeStructVariant = List<'a>;

    plain!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str);

    fn serialize_u8(self, value: u8) -> Result<(), fmt::Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), fmt::Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), fmt::Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), fmt::Error> {
        if value < 10 {
            self.leaf(value);
        } else {
            self.leaf(format_args!("{value:#x}"));
        }
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), fmt::Error> {
        self.leaf(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        Ok(())
    }

    fn serialize_none(self) -> Result<(), fmt::Error> {
        self.leaf("none");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), fmt::Error> {
        self.leaf("()");
        Ok(())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), fmt::Error> {
        self.leaf(name);
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), fmt::Error> {
        self.leaf(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        self.field(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, fmt::Error> {
        Ok(self.list(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, fmt::Error> {
        let mut list = self.list(None);
        list.counted = false;
        Ok(list)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'a>, fmt::Error> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, fmt::Error> {
        Ok(self.list(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<List<'a>, fmt::Error> {
        Ok(self.list(None))
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<List<'a>, fmt::Error> {
        self.serialize_tuple(len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, fmt::Error> {
        Ok(self.list(Some(variant)))
    }
}

macro_rules! numbered {
    ($($what:ident::$name:ident),*) => {
        $(impl $what for List<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), fmt::Error> {
                self.finish();
                Ok(())
            }
        })*
    };
}

numbered!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! named {
    ($($what:ident),*) => {
        $(impl $what for List<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), fmt::Error> {
                self.collector.field(name, value)
            }

            fn end(self) -> Result<(), fmt::Error> {
                self.finish();
                Ok(())
            }
        })*
    };
}

named!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for List<'_> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        self.next += 1;
        let parts = leaves("", &Key(key));
        self.key = parts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(",");
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        let key = std::mem::take(&mut self.key);
        self.collector.below(format_args!("[{key}]"), value)
    }

    fn end(self) -> Result<(), fmt::Error> {
        self.finish();
        Ok(())
    }
}

/// A key of any size as a sized value.
struct Key<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Key<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Kind {
        Unit,
        New(u8),
        Struct { x: u8 },
    }

    #[derive(Serialize)]
    struct State {
        number: u64,
        array: [u8; 2],
        list: Vec<Kind>,
        map: BTreeMap<(u8, u8), bool>,
        maybe: Option<u8>,
    }

    #[test]
    fn every_leaf_has_a_path() {
        let state = State {
            number: 0xabc,
            array: [1, 2],
            list: vec![Kind::Unit, Kind::New(3), Kind::Struct { x: 4 }],
            map: [((1, 2), true)].into(),
            maybe: None,
        };
        let text: Vec<String> =
            leaves("", &state).into_iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(
            text,
            [
                "number=0xabc",
                "array[0]=1",
                "array[1]=2",
                "list[0]=Unit",
                "list[1].New=3",
                "list[2]=Struct",
                "list[2].x=4",
                "list.len=3",
                "map[1,2]=true",
                "map.len=1",
                "maybe=none",
            ]
        );
    }
}
