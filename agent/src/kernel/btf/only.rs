//! A copy that has only the types that are asked for.

use super::{Btf, KIND_FUNC, KIND_TYPEDEF, MAGIC};

/// `BTF_KIND_FWD`: the declaration of a type, the shortest that any type can be.
const KIND_FWD: u32 = 7;
/// Bytes of `struct btf_header`.
const HEADER: u32 = 24;

/// A type that is looked up by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `typedef`: what a tracepoint has, of the name `btf_trace_` and its own.
    Typedef(String),
    /// A function.
    Function(String),
}

impl Btf {
    /// A blob in which the types of these names have the ids that they have here, and all others are
    /// nameless declarations: for a reader that needs the ids of a few, and takes 20 MB for the whole.
    #[must_use]
    pub fn only(&self, names: &[Name]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut types: Vec<u8> = Vec::with_capacity(self.types.len() * 12);
        for at in self.types.iter().skip(1) {
            let kept = self.type_at(*at as usize).and_then(|ty| {
                let name = self.name(ty.name);
                let wanted = names.iter().any(|wanted| match wanted {
                    Name::Typedef(of) => ty.kind == KIND_TYPEDEF && name == of.as_bytes(),
                    Name::Function(of) => ty.kind == KIND_FUNC && name == of.as_bytes(),
                });
                wanted.then_some((ty, name))
            });
            // What it refers to may be gone: nobody follows it.
            let words = match kept {
                Some((ty, name)) => {
                    let offset = strings.len() as u32;
                    strings.extend_from_slice(name);
                    strings.push(0);
                    [offset, ty.kind << 24 | ty.count, ty.size_or_type]
                }
                None => [0, KIND_FWD << 24, 0],
            };
            types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        // Lengths of what was shorter in `self`, whose own are 32 bits wide.
        let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
        let mut blob = Vec::with_capacity(HEADER as usize + types.len() + strings.len());
        blob.extend(MAGIC.to_le_bytes());
        // Version 1, no flags.
        blob.extend([1, 0]);
        for word in [HEADER, 0, types_len, types_len, strings_len] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(types);
        blob.extend(strings);
        blob
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::tests::blob;

    #[test]
    fn what_is_kept_has_its_id_and_the_rest_no_name() {
        let whole = Btf::parse(blob()).unwrap();
        let names = [Name::Typedef("btf_trace_ev".into())];
        let only = Btf::parse(whole.only(&names)).unwrap();
        assert_eq!(only.types.len(), whole.types.len());
        let id = |btf: &Btf, name: &str| {
            (1..btf.types.len() as u32)
                .find(|id| btf.name(btf.by_id(*id).unwrap().name) == name.as_bytes())
        };
        assert_eq!(id(&whole, "btf_trace_ev"), Some(4));
        assert_eq!(id(&only, "btf_trace_ev"), Some(4));
        assert_eq!(id(&only, "outer"), None);
        // A function of that name is another type.
        let other = [Name::Function("btf_trace_ev".into())];
        let only = Btf::parse(whole.only(&other)).unwrap();
        assert_eq!(id(&only, "btf_trace_ev"), None);
    }
}
