//! A record's event as bytes: numbers in as few bytes as they need, and the names of variants and fields once a block.
//!
//! Names, not positions, say what is what: the [`Dictionary`] of a block lists each variant and struct that its records use
//! with the names of its fields, so that a reader of another version can tell what it knows from what it does not.

use serde::ser::{self, Serialize};
use std::fmt::{self, Display};

/// A variant or struct that records are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Type.
    pub(super) of: &'static str,
    /// Variant; empty for a struct.
    pub(super) variant: &'static str,
    /// Fields in order; none for a variant without or with one nameless value.
    pub(super) fields: Vec<&'static str>,
}

/// What the records of a block are made of, by number.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    shapes: Vec<Shape>,
    /// By type, numbers by variant index plus one; 0 where there is none yet. A struct is its type's variant 0.
    numbers: Vec<(&'static str, Vec<u32>)>,
}

impl Dictionary {
    /// All of them.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    pub(super) fn clear(&mut self) {
        self.shapes.clear();
        self.numbers.clear();
    }

    /// The number of a variant, if it has been met.
    fn find(&self, of: &'static str, index: u32) -> Option<u32> {
        let (_, numbers) = self.numbers.iter().find(|(known, _)| std::ptr::eq(*known, of) || *known == of)?;
        numbers.get(index as usize)?.checked_sub(1)
    }

    fn add(&mut self, index: u32, shape: Shape) -> u32 {
        let at = self.numbers.iter().position(|(known, _)| *known == shape.of).unwrap_or_else(|| {
            self.numbers.push((shape.of, Vec::new()));
            self.numbers.len() - 1
        });
        let numbers = &mut self.numbers[at].1;
        if numbers.len() <= index as usize {
            numbers.resize(index as usize + 1, 0);
        }
        self.shapes.push(shape);
        let number = self.shapes.len() as u32;
        numbers[index as usize] = number;
        number - 1
    }
}

/// What a record can't hold. Only a change of the vocabulary can lead here, and the tests that write one of each would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsupported(String);

impl Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Writes a number in 7-bit groups, lowest first; the top bit says that more follow.
pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed number with its sign in the lowest bit.
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Adds `value` to `out`, and what it is made of to `dictionary`.
pub(super) fn encode(
    out: &mut Vec<u8>,
    dictionary: &mut Dictionary,
    value: &impl Serialize,
) -> Result<(), Unsupported> {
    value.serialize(&mut Encoder { out, dictionary })
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    dictionary: &'a mut Dictionary,
}

/// The fields of a struct that is being written.
struct Fields<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    /// Its shape, if it is met for the first time: the names of its fields are still to be listed.
    fresh: Option<u32>,
}

impl<'a> Encoder<'a> {
    /// Writes the number of a shape. `Some` if it was not in the dictionary before.
    fn shape(&mut self, of: &'static str, index: u32, variant: &'static str) -> Option<u32> {
        let known = self.dictionary.find(of, index);
        let at =
            known.unwrap_or_else(|| self.dictionary.add(index, Shape { of, variant, fields: Vec::new() }));
        number(self.out, u64::from(at));
        known.is_none().then_some(at)
    }

    fn fields<'e>(&'e mut self, of: &'static str, index: u32, variant: &'static str) -> Fields<'e, 'a> {
        let fresh = self.shape(of, index, variant);
        Fields { encoder: self, fresh }
    }
}

impl Fields<'_, '_> {
    fn field(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Result<(), Unsupported> {
        if let Some(shape) = self.fresh {
            self.encoder.dictionary.shapes[shape as usize].fields.push(name);
        }
        value.serialize(&mut *self.encoder)
    }
}

impl ser::SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

impl ser::SerializeStructVariant for Fields<'_, '_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

/// Elements of an array, which are written one after the other.
struct Elements<'e, 'a>(&'e mut Encoder<'a>);

impl ser::SerializeTuple for Elements<'_, '_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut *self.0)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

/// Refuses what no record holds.
fn unsupported<T>(what: &str) -> Result<T, Unsupported> {
    Err(Unsupported(format!("a record can't hold {what}")))
}

impl<'e, 'a> ser::Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = ser::Impossible<(), Unsupported>;
    type SerializeTuple = Elements<'e, 'a>;
    type SerializeTupleStruct = ser::Impossible<(), Unsupported>;
    type SerializeTupleVariant = ser::Impossible<(), Unsupported>;
    type SerializeMap = ser::Impossible<(), Unsupported>;
    type SerializeStruct = Fields<'e, 'a>;
    type SerializeStructVariant = Fields<'e, 'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Unsupported> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unsupported> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unsupported> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unsupported> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unsupported> {
        number(self.out, value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unsupported> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unsupported> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unsupported> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unsupported> {
        number(self.out, zigzag(value));
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unsupported> {
        unsupported("a floating-point number")
    }

    fn serialize_f64(self, _: f64) -> Result<(), Unsupported> {
        unsupported("a floating-point number")
    }

    fn serialize_char(self, value: char) -> Result<(), Unsupported> {
        self.serialize_u32(u32::from(value))
    }

    fn serialize_str(self, _: &str) -> Result<(), Unsupported> {
        unsupported("text")
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unsupported> {
        unsupported("bytes of its own")
    }

    fn serialize_none(self) -> Result<(), Unsupported> {
        self.serialize_bool(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unsupported> {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unsupported> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unsupported> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), Unsupported> {
        self.shape(of, index, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        self.shape(of, index, variant);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Unsupported> {
        unsupported("a list")
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements<'e, 'a>, Unsupported> {
        Ok(Elements(self))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unsupported> {
        unsupported("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        unsupported("a tuple")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        unsupported("a map")
    }

    fn serialize_struct(self, of: &'static str, _: usize) -> Result<Fields<'e, 'a>, Unsupported> {
        Ok(self.fields(of, 0, ""))
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'e, 'a>, Unsupported> {
        Ok(self.fields(of, index, variant))
    }
}
