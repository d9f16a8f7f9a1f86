//! Bytes back into a record's event, by the names that the block's dictionary gives them.

use serde::de::{self, DeserializeSeed, Visitor};
use std::fmt::{self, Display};

/// A variant or struct as a file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Type.
    pub(super) of: String,
    /// Variant; empty for a struct.
    pub(super) variant: String,
    /// Fields in order.
    pub(super) fields: Vec<String>,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn refuse<T>(why: &str) -> Result<T, Unreadable> {
    Err(Unreadable(why.to_owned()))
}

/// Where in a block the reader is.
#[derive(Debug)]
pub(super) struct Decoder<'d> {
    bytes: &'d [u8],
    shapes: &'d [Shape],
}

impl<'d> Decoder<'d> {
    pub(super) fn new(bytes: &'d [u8], shapes: &'d [Shape]) -> Self {
        Self { bytes, shapes }
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'d [u8] {
        self.bytes
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.bytes.split_first() else { return refuse("it ends too early") };
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        refuse("a number has no end")
    }

    /// The next signed number.
    pub(super) fn signed(&mut self) -> Result<i64, Unreadable> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'d [u8], Unreadable> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.bytes.split_at_checked(len) else {
            return refuse("it ends too early");
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn shape(&mut self) -> Result<&'d Shape, Unreadable> {
        let at = self.number()?;
        let found = usize::try_from(at).ok().and_then(|at| self.shapes.get(at));
        found.map_or_else(|| refuse("it names a shape that its dictionary has not"), Ok)
    }

    /// The next value of a type.
    pub(super) fn decode<T: de::Deserialize<'d>>(&mut self) -> Result<T, Unreadable> {
        T::deserialize(self)
    }
}

/// The values of a struct, with the names that the file has for them.
struct Fields<'a, 'd> {
    decoder: &'a mut Decoder<'d>,
    names: std::slice::Iter<'d, String>,
}

impl<'d> de::MapAccess<'d> for Fields<'_, 'd> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        let Some(name) = self.names.next() else { return Ok(None) };
        seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value, Unreadable> {
        seed.deserialize(&mut *self.decoder)
    }
}

/// A given number of values in a row.
struct Elements<'a, 'd> {
    decoder: &'a mut Decoder<'d>,
    left: usize,
}

impl<'d> de::SeqAccess<'d> for Elements<'_, 'd> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'d>>(&mut self, seed: T) -> Result<Option<T::Value>, Unreadable> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }
}

/// A variant and what it holds.
struct Variant<'a, 'd> {
    decoder: &'a mut Decoder<'d>,
    shape: &'d Shape,
}

impl<'d> de::EnumAccess<'d> for Variant<'_, 'd> {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'d>>(self, seed: V) -> Result<(V::Value, Self), Unreadable> {
        let name = de::value::BorrowedStrDeserializer::new(&self.shape.variant);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'d> de::VariantAccess<'d> for Variant<'_, 'd> {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'d>>(self, seed: T) -> Result<T::Value, Unreadable> {
        seed.deserialize(self.decoder)
    }

    fn tuple_variant<V: Visitor<'d>>(self, _: usize, _: V) -> Result<V::Value, Unreadable> {
        refuse("no record holds a tuple")
    }

    fn struct_variant<V: Visitor<'d>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_map(Fields { decoder: self.decoder, names: self.shape.fields.iter() })
    }
}

/// Numbers of every width are alike in the file; the type that asks checks the range.
macro_rules! numbers {
    ($($name:ident $visit:ident $read:ident,)*) => {$(
        fn $name<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            visitor.$visit(self.$read()?)
        }
    )*};
}

impl<'d> de::Deserializer<'d> for &mut Decoder<'d> {
    type Error = Unreadable;

    numbers! {
        deserialize_u8 visit_u64 number,
        deserialize_u16 visit_u64 number,
        deserialize_u32 visit_u64 number,
        deserialize_u64 visit_u64 number,
        deserialize_i8 visit_i64 signed,
        deserialize_i16 visit_i64 signed,
        deserialize_i32 visit_i64 signed,
        deserialize_i64 visit_i64 signed,
    }

    fn deserialize_bool<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_bool(self.number()? != 0)
    }

    fn deserialize_char<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let code = u32::try_from(self.number()?).ok().and_then(char::from_u32);
        code.map_or_else(
            || refuse("it holds a character that does not exist"),
            |code| visitor.visit_char(code),
        )
    }

    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.number()? == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'d>>(self, len: usize, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(Elements { decoder: self, left: len })
    }

    fn deserialize_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let shape = self.shape()?;
        visitor.visit_map(Fields { decoder: self, names: shape.fields.iter() })
    }

    fn deserialize_enum<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let shape = self.shape()?;
        visitor.visit_enum(Variant { decoder: self, shape })
    }

    fn deserialize_any<V: Visitor<'d>>(self, _: V) -> Result<V::Value, Unreadable> {
        refuse("it holds a field that this version does not know")
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'d>>
        i128 u128 f32 f64 str string bytes byte_buf seq tuple_struct map identifier ignored_any
    }
}
