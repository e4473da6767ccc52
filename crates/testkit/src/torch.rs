//! Files of torch.save, written by hand: sound ones, and such as nobody writes in good faith.

/// A member of the archive. Everything but its bytes is what torch writes unless it is changed.
#[derive(Clone, Debug)]
pub struct TestMember {
    /// Its name, with the folder.
    pub name: String,
    /// The name in the header before its bytes.
    pub local_name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its checksum.
    pub crc: u32,
    /// Flags of both headers.
    pub flags: u16,
    /// 0 for bytes as they are, 8 for deflated ones.
    pub method: u16,
    /// The size that the directory tells, when it is not that of the bytes.
    pub size: Option<u32>,
    /// Where the directory says that its header is, when it is elsewhere.
    pub place: Option<u32>,
}

/// A zip archive of stored members.
#[derive(Clone, Debug, Default)]
pub struct TestTorch {
    /// In the order of the directory and of the file.
    pub members: Vec<TestMember>,
}

impl TestTorch {
    /// An archive with `pickle` as its model.
    pub fn new(pickle: &[u8]) -> Self {
        Self::default().member("m/data.pkl", pickle)
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &str, bytes: &[u8]) -> Self {
        self.members.push(TestMember {
            name: name.to_owned(),
            local_name: name.to_owned(),
            bytes: bytes.to_vec(),
            crc: crc32(bytes),
            flags: 0x0808,
            method: 0,
            size: None,
            place: None,
        });
        self
    }

    /// Changes the member that was added last.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut TestMember)) -> Self {
        change(self.members.last_mut().expect("there is a member"));
        self
    }

    /// The file.
    ///
    /// # Panics
    /// When it would have more than 4 GB.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut directory = Vec::new();
        let short = |n: usize| u16::try_from(n).expect("a small file").to_le_bytes();
        let long = |n: usize| u32::try_from(n).expect("a small file").to_le_bytes();
        for member in &self.members {
            let place = member.place.map_or_else(|| long(file.len()), u32::to_le_bytes);
            let size = member.size.map_or_else(|| long(member.bytes.len()), u32::to_le_bytes);
            file.extend_from_slice(b"PK\x03\x04\0\0");
            file.extend(member.flags.to_le_bytes());
            file.extend(member.method.to_le_bytes());
            file.extend([0; 16]);
            file.extend(short(member.local_name.len()));
            file.extend(short(0));
            file.extend(member.local_name.as_bytes());
            file.extend(&member.bytes);
            directory.extend_from_slice(b"PK\x01\x02\0\0\0\0");
            directory.extend(member.flags.to_le_bytes());
            directory.extend(member.method.to_le_bytes());
            directory.extend([0; 4]);
            directory.extend(member.crc.to_le_bytes());
            directory.extend(size);
            directory.extend(size);
            directory.extend(short(member.name.len()));
            directory.extend([0; 12]);
            directory.extend(place);
            directory.extend(member.name.as_bytes());
        }
        let start = file.len();
        let count = short(self.members.len());
        file.extend(&directory);
        file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        file.extend(count);
        file.extend(count);
        file.extend(long(directory.len()));
        file.extend(long(start));
        file.extend(short(0));
        file
    }
}

/// A pickle of protocol 2 of a value that is there as opcodes.
pub fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// The opcodes of a dict.
pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
    [b"}(".to_vec(), entries.collect(), b"u".to_vec()].concat()
}

/// The opcodes of a text.
///
/// # Panics
/// When it has more than 4 GB.
pub fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text").to_le_bytes();
    [b"X", length.as_slice(), text.as_bytes()].concat()
}

/// The opcodes of a count.
pub fn count(n: u64) -> Vec<u8> {
    [&[0x8a, 9], n.to_le_bytes().as_slice(), &[0]].concat()
}

/// The opcodes of a tensor: the class and key of its storage and how many elements that has, its first element there,
/// its shape and its strides.
pub fn tensor(
    class: &str,
    key: &str,
    elements: u64,
    offset: u64,
    shape: &[u64],
    strides: &[u64],
) -> Vec<u8> {
    let counts = |list: &[u64]| {
        let list = list.iter().flat_map(|n| count(*n));
        [b"(".to_vec(), list.collect(), b"t".to_vec()].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text(key),
        text("cpu"),
        count(elements),
        b"tQ".to_vec(),
        count(offset),
        counts(shape),
        counts(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// The checksum of zip archives, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
