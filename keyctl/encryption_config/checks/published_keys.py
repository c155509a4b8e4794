"""Keys that anyone can read on the web or in source code, and texts that stand where a key should.

The table holds SHA-256 digests of key bytes and where those are printed; never a key. Nothing here repeats what it
is asked about.
"""

from __future__ import annotations

import hashlib
import re

# Where a key is printed → SHA-256 of its bytes. Keys of other lengths than kube-apiserver takes are kept: they tell a
# file that was copied from a tutorial from one with a key cut short.
_DIGESTS: dict[str, tuple[str, ...]] = {
    "the Kubernetes documentation": (
        "15a1b278f7e9cd1525e75fd9182d7bc0c6c00e4fa9e678c2184655491f98f1a2",
        "166f41cd7664c9c7afecf20e633907a6e615a3633b3a705b3a0b309e0b570c7f",
        "58535344b6812f10423a2fc7ba41d3972bd0f275b5e3a94757c5b07b5b631ae0",
        "66337256703eecc9d5e12f8b85a02fc86d98c832137fc075a9566dcc9dc8eb36",
        "87f98348fd41b4f2229f023379f249d6e3b77d1dddb06e33d8e31eca6331c954",
        "f6d527e6d01865481134f29788be2afe7fc3c702e1a55d7ceafac5f35199e8dc",
    ),
    "the RKE documentation or its examples": (
        "e4c44ddd5a1fa01ad3f8fec31c677a5042e34d287187f72ff6a6ada635421976",
        "efee236c7670fa6a12431bd8f822aa10244b57961fede1b3d9bc895c5774e66b",
    ),
    "the KubeOne documentation": (
        "372d9e8b72b2e88ef67e566afe5b5082dc38450b6263e06d4f00869278ea975d",
        "6ba03af5a780349ddb2deac366e84fda21cffe058168f7c87b70f42bba8e6bb2",
    ),
    "the documentation or the tests of Talos": (
        "2436e2a5687d3bfff91e948b107b84f2e4fe892d8d2cbfa95a3cb7c51363cedb",
        "413e410a6567bfbb7c186389d7d8291588a6fa24e4b87f70f140c5ac898fe178",
        "af6938172090575cc9dbb840e28ee6371a81700f35b6cf538e0649b29486d044",
        "b7b558673e9703015996696d096d4bf29a0fb5a6ff0c1c31dd1f135762ab3395",
    ),
    "a vendor's documentation": (
        "393d41871af6fe568e1491bd381c2383ecafe40ee676905fbd1facd00001f179",
        "4f190642ed5eade41f0fc1c80f064cb67322529771840edcc1454519cd287ecb",
        "b525ab7451d7e27e454758268d4f67dd5c8ff9353d86bbeb4c98c6de230e06a5",
    ),
    "the default values of an installer": (
        "8df3d6fbea2d8b6200dcb6cf46efd4cdf1e2cb1bfd9b73e317ad9338fc7fd889",
        "cf145682073f14035d0235e3f5b69b1816f10ee028a8174213c1aeb67c8a48f0",
    ),
    "the tests or samples of an open-source project": (
        "0ebe2fe703bb2c4235a5946026926bd4abe8ae48ad5920981ceb5d6df4bbe37a",
        "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9",
        "f9b0078b5df596d2ea19010c001bbd009e651de2c57e8fb7e355f31eb9d3f739",
    ),
    "a public issue": (
        "0c671fa01c7fd0ea5a6e27e486624bfbda358d593e82ba27e2a70b6d9ff88eba",
        "23d491ed19486bc3de595fa0b2c48fe37a75d30086bc9be8b53942736c928b32",
        "3f83e0e642621e403cc3c883179ed9b36beca337ef1987e294d1d3257a69f6c5",
    ),
    "a Kubernetes the Hard Way walkthrough": (
        "ac4c46b926d40c88b6262a785377c2a7048cc62f98c096f7889618be816f777a",
        "ffc44a213902e4fc1ee5e4c0b2b0fd1136730ac2eafe5c756294be8fe20deb62",
    ),
    "a public tutorial": (
        "04f5c9c3eb59c6fd3f39ac1e9f0ade57a749962f92284437f9590f24a83aa5c3",
        "0a13ea63f67e26a09ac4b393b0a5a0f0303513268f0fc2d91160f07880cee266",
        "0b32e8c3ad8ffd3be3be69715d706508f8fd00b3d379b34fc61ace19d33dbef1",
        "0dcce8d54b5e56637186dd672c8f264dbd94d2b62291f399c5af0cf784d5a0c6",
        "0edf39aed6dae5512004199ea70ed6b18ccda1896bc914429da2502ee641b055",
        "0f7786cbe454b14b501ab759d8dee1d114b9f94c7a2b356ff7ecc9a6ba1bef58",
        "104040fa311b642184a1343a7f9bb30cfa5bed68c8abc48d79b1855b7b871136",
        "10b6dd0d4af7355d9b1df93b28f611319afc6e4d2b3007a86839a7497d9dcea9",
        "136b9fee699b5d088aa2eb067fbde95156653caa443728dede389209f50edb41",
        "16935d75af9f04e9b6fce053214b2f353d671e5a922c68735819048c287af53f",
        "1b0911e320ef047788d9986d4b7e9ae0b70489faece47917e574b403cfdbbd9b",
        "1bc4479d163d1eea92c373994abcec0b396c7daecbdd480bd49ea947c165740e",
        "1ded676099e360c35f2e4d27f2637acc80b900ab1f4c070f73e07d97195999f2",
        "25f94a2a5c7fbaf499c665bc73d67c1c87e496da8985131633ee0a95819db2e8",
        "26214697d45b04a0df27b56b73594dc25659d34e4b1547de0b319b062bede4ab",
        "2d950cbc18cd45c40125b6e829ccb68ce179277ea7963377eb049022f3bf4295",
        "2e2b24f8ee40bb847fe85bb23336a39ef5948e6b49d897419ced68766b16967a",
        "31d9e3cfaf395fe309f66152053e4bc8111c69b87d890b4aff32a966eeacacf3",
        "3238df59ca1d04cc3d8f544a9eb4a49e5e5d0e1e1b265ea74e504c2e53adef88",
        "32bf2738585953f7ee6192811f232e6fe69853c772e35506eb06d78b2a4a9e3b",
        "33e943e0a4c78d1b699341c9ebdcea35943c42aaa116395d507a5ddf28744d49",
        "35d7b7b2023a4f93727a308d24bdcdf90909024785b5ada918dea74c6f77a823",
        "366c6359bee74d63505200f253340f1217dd426de0bd9d549d390baf6af16c04",
        "3680d13d401981fdffa415efb4503bb5e8325132946ad6dc12b470507ec7b036",
        "411c77af0c936339edf40cda05f862312afc72dbc70f00fbd4f6e74f6fc711f9",
        "4149fb9b4799a13f53e53d81101c2d7650c3b192ba2628bccd05d3f9392d7584",
        "429c5172efca2749bea1398fc8ee98e7624a560790e5c545817a5bb5afbdae2d",
        "42dd49cbfec35eff03a810a608700f599e199279374133fcc32a7b071793e8cf",
        "430500df6b81dff7b3390319ea15460cc71fb9d8cd2b261d0760993310d51d0d",
        "4a3c0cc49b7e3b70e12f96402cf42a4cf5634fff940a67142e3113d0c8085e21",
        "5015a6faaf0f276067bf6ff0ce83fc72c70638b6b10ac885943ef0d88e77e0e7",
        "509106154a7ac47b454cd3d928206825851dcd9e1a08d2ac06a4ba806a0d2040",
        "5344316721ba134747dbe3979920bae05fc20d60eef48bc7128d09710c8744aa",
        "55f6157ca41fd1637597f73cbb5ba3e0443c4aabeb8cfc0e9f605c82060cb31d",
        "5630bd75847ad3f96cfaa0895837f8b40eadda92945b08609386787b60ebaab5",
        "584bdccb131a4bcebbac49947c3a02b9e21765faf2bb7761ac6c2b3b3704ade1",
        "5b13401c1fb7b3f38a660fcbf5a2faa6ad4a5f6cb7607fc343a0c34b8ff85370",
        "5bc854f1da00da88420ea74533cb8493738d986c325f5a0dd6ba042364119148",
        "5c0296df043c2e73ba170535c270362626e9ca5311cc1cbdcb1f64cf44182640",
        "5dabebce3525eab92b738db56c241b5d945101bc9f6f17f91fb1f26f52f14da9",
        "5e6b1e7914e597a1b29303f443fdc044f74f0594317c0bb524a4495ccac0f944",
        "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
        "650ab55382a514277ad1f1b2b93c0eef9420fa0c68bd59a5cf63f85ef7ad6634",
        "66f2c41186d55fbdc498b98ef677ec5600fe45d4360641d57ccaae1dea7866de",
        "6aa21a88df64e4c731a24e918ed52adc11a176b5c2e8228bea7091991755482c",
        "6d1f9fc016ff9a07388c38727f73c44f2dedeb6b9f2f378891227132e701e925",
        "6e51ae77a12dc84a53522168da1f7e47c05cd3efe5d36c76a4e3c46b34cdd80b",
        "6f34980799ba3dff85967333119e93974bb618f617c9dee8decdd144d0a9cbb0",
        "74eda01df0b94dab892bdcf3ee2c3c74168b11dcf8938a48a5079fdceb639241",
        "7a51d064a1a216a692f753fcdab276e4ff201a01d8b66f56d50d4d719fd0dc87",
        "7bbb8d3dc0676f89ea75d79e52ad9a4f76d5db56d3d91bdeb05da7a2ac74e9ba",
        "7cda7e440994c2a5942ac7053eb42d57edb0274a39fa7ce562e89edf16b69ee0",
        "7da9b966c41ed9595853047778b202b1fa1265bc6a22d936ec6352e4cc7ed698",
        "7df8bed77edc1e54b3b1df38540b048502add447ac66f17fadfe48e87c856307",
        "7f4cd3e68131a06369564b10d097d56ded1d7bd8f045bb6a165bd8f21092638c",
        "7fe75d73682da87eff99cb0b5aa312d4ad16a1e498903a2fa8cb7c73865af548",
        "816e99da72b3df992b64bc53af5d223fc30a400328e3c70913781eb164a26edc",
        "85dbe15d75ef9308c7ae0f33c7a324cc6f4bf519a2ed2f3027bd33c140a4f9aa",
        "8718891b05120d1832f12a30da5c6c30ca45a15bd1fe3c9ac4ffc71e53525c2e",
        "8fad6c1440266578bafe5f488a2deccb1cd1111226a2c7ad0e2b16a37616d0a9",
        "93edd6b781951aa72b1136611b233071c8a315aa35eedef8cd65cdca5bcd5005",
        "9868667d7df0c2ad0038a728984996bdee3fc7d5132fc3d6bdb2313ae5af0f95",
        "99cbc1755eae6970273f4d1011ff863683290270ce21726aa54db01b5b405654",
        "9cae1be3cd599370e8ed18b4bf7188082a6a9c08e3a85651a8a3e3073a3548fe",
        "9d0d6375f2d1a7ebf162cc4724a39dc959d59ce48beb6f868e6b616452e962dc",
        "9d4f4e462b008362a4004b095b83724a389f4d4ec3ed7dfacb6c1b8d49e245d4",
        "9db4ac6db213a0ac4e5f46a34e824d9049415ddd2d10edba995c1309877f4073",
        "9ee06410818487cb1a938ced2d8e217526e398988b126da4e0b96c86a852022a",
        "9f34037ef36c9a0de9941e258932206bfc2163969c791f3eeef2a46c10f7e98c",
        "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f",
        "a0a4a358f32d584bd09f013397db36caa465825f7b9caa6e8b89c1f1323861a2",
        "a413660238b974742f0c5ae751e672f95ff96a82f6221886117bec5fe1cb59e4",
        "a5e41889aaf1cd26f660650891f81db8d880d3ec91325d149452f6bbe5b2838c",
        "a6bd860eb410a4318a09e05a7dd41720468a0e0e43f2ccab97fb4f8bbdf673eb",
        "ae9934340ae08a25e62123fc01ba59c6de5ea6b7fd5b24aa48c4b54bd77a1d6b",
        "af731f502cb1ff67a96cd2b2a870e9d10b3ab26c48f80a23ba933fd4561e8edf",
        "b04b32479ae4466a26d1ad9def59c76acc18334690819201d26160fe4b986d62",
        "b946f015fe0cd62105a92667db3ae17ffa7ea9e9d42650ca3fb48bcbda5797d0",
        "b9f196d8e7eef3e4ef19f96babcff059b65910b949fc8232b13bb16ad6c5ca83",
        "ba03e4bbbb47199ef5cd589355c5e62c2a3249aad79ab654f7fe624390e4ed6f",
        "ba9e3cdd20168d0dc49f62d9136a0517cb3e60327d5d4a35e2ed55d83c0174cf",
        "bc0568dc4fb750073c275de42e57784ba2d41d8cd25dda315f52146985f71b5f",
        "bce8f29561c3b0140c1174753231665439343632b774df863c4c7d8a47542c85",
        "c22548aeec0c76904777f06a4ed3b0dd09ac2efc06c0ed734c145b07a5470e9d",
        "c65a6b63482aa2ccd94d7a456d0199c251a548c40653ab89c41a1c1bc6465606",
        "ca75fd0ad4aeca30f7e9d61b0dfd20cd7c00d6c94fb27f8d376a12ed9ca06dfb",
        "cc3f214421ed33d69060ddb27050f21e8f6c6087bb3c6a84c8a5676d4c3b3741",
        "cf1032e416f5a5416824af49157d5e256dc441c1a596a67c5de57de51b898a5d",
        "d3914977ba5390fd44f7da7650456a998bbcbaaac6f5e8f84e6cafa7a0de6e40",
        "d4ac72a3061aea367767f88896562275644c9fbdc5f630a37ae6367c4feb8d59",
        "d54cfdc09db222d4b6b9524861166fb9333bc734c4932ad83574f39fffc616c4",
        "d7094a9368ded429174b31c187a4b207ce9f27adf5293ebbd828f93eceacb883",
        "dbaf7e4a58cce4a7d9a355ab1cc4d621ee1dc4872bb75f6c993b97ae4da5627b",
        "dc8ea9f3bba4a46fcd181b9fca382f58e6c3159566a930da1f2074d3b65790df",
        "de20747a16515cf7c2cfd45ba993949f6c91c2eb1afa749c0b213c3ebcacb401",
        "df5ea2ea05cd5da3f0042735f27a470a1c980597a96be4a5a13abc4222353ac6",
        "e0e6097a6f8af07daf5fc7244336ba37133713a8fc7345c36d667dfa513fabaa",
        "e498757b0ff15e567fee9db611e36c73ce172a01bdff367df559dcdef823cb98",
        "e4a2ae560ef08ccb0ba119d5d16668f8c252ba5f812ddb1635fdb9d4aed13462",
        "e5dc24b552b33e22e15576069b8c079e65631e1c9804965e429677b10827c409",
        "e78e062a629f90832738c97cf45dd16d21f338194bbdcfa402984a0b2b6e841b",
        "e87daf180af1661b08fb7b21412ec3db84ea061124f30be1e86049592c9dbf8b",
        "e90fb05459f7719eef3c37c2c08ca401936843c5df52a6de0bc76febe4f8c7d6",
        "eb9f1d748660a3d9fe45053179b6da8d850aeee16e5e64b87f17477eae9a6dd3",
        "ecdde3e919726af82d250ce88e53eb5dcf0f99c21c5d95ba8f392eb1670eda2a",
        "f117b6ac08d18eb21ce3e69165589499d289554c0aed72696d4f2d151d544d89",
        "f33c0018cc51487a6add1012cf0e982e1293618978c7fca12b7397572dc17129",
        "f39dac6cbaba535e2c207cd0cd8f154974223c848f727f98b3564cea569b41cf",
        "f6b7e19e0d867de6c0391879050e8297165728d89d7c4e9e8839972b356c4d9d",
        "f75fce4e471a3c1e77b42122e1a6b3f3fe99efacfaed0b4a0f1f1426823db306",
        "f7d823243677e1ce255b951c798157637bde6093012bffc206deeffea3464d5c",
        "f9c55d05465e70b27485f2faefbbe4b1b88913f1b9b36e668ceb8f157494ace5",
        "fbd2945ba8b34f1d9e7c3d83698fe46809bee0eef84a7b0cc0a7d97893b08824",
        "fc4147440b0d13a599b9f5486e5a9bad70ecd38e9b8ddfb632738b8ecadd79e1",
        "fc8529ceb491b69b910fd42c4cb733b5d2e72e88f5dd24749c1d330d445ae2c8",
    ),
    "the test vectors of a cipher's standard": (
        "1d64add2a6388367c9bc2d1f1b384b069a6ef382cdaaa89771dd103e28613a25",
        "46f2c12f725921af8755806c96437b84137355b9eee64ec17713898e5acedf31",
        "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd",
        "7f70dfd819c3c5826700c209d1633eb5af014210decb7d7ff6d6ebadfa9bad27",
        "80fa5ff8e512e1d12f60c27d305e47fb19daa5f0aad3f32c9dd5145309e38d54",
        "b93c72b74bc8487d29827005f80d635918f91bc22b14d7ed05714d58f96702dd",
        "bae0503ebd961bdb13b9cb25ab18333238a32b247b159b4c411b18d9e60afec4",
        "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991",
        "c49dd01233796e3642bc1b9829070ef0a64eb0dd915b72ec3f3657529e5f6494",
        "d4ffb8b77f7d6b26196e9a070e983f6701a4c42dec813d4de1a535d20a7df536",
    ),
    "lists of common keys": (
        "05ae4505ae2b3f1bdc1f54a7e6b2669c3fcd3d89f4d0b55a25cbf2da29b9fcf1",
        "184aa46d813411727da0dc9e64186bb9907289b5aab4b320d26fff5ea45d8e3d",
        "2125b2c332b1113aae9bfc5e9f7e3b4c91d828cb942c2df1eeb02502eccae9e9",
        "39822e58ec665a966ab31301aff3b1f23df5b57485e3e6834b8c5ece0d48a12e",
        "47ebf7aec06a217fb61f62e0ce1c51036d99a8066cf65d547b5087be96d6f1c7",
        "5d854a6bcae8dbe496e7040f45d970ce74c9e89200bc2af404159dcf8425ab36",
        "653bb1245e828fcda4fa53fcd5a3def5bd7654e651f54b4132b73d74e64435c4",
        "73337f479fe170d73e53e247f3052e4243cc9c2a0ffa621853d9385c619efb77",
        "861009ec4d599fab1f40abc76e6f89880cff5833c79c548c99f9045f191cd90b",
        "8865fea8edb697169ac2b4f5e6339e16439381033640eeb4f55edbad9bdc2d3d",
        "8e9916c5340c43fa003fe2dd54cd4e3027affbfc0d631e4cd858f64ec09fa9ed",
        "918c28f73f02ffcb653102a34bf5fbc3b7393e46945b7e99a19eafae2d80e724",
        "93b0cabf8668e0c534c52a568957499e12a284f59d97dc9b2725ef836804875b",
        "9585b32abafdc26bf732646ccf4f0b25b63e9940cde8e2c052f8106add275707",
        "bb9d88b612408d593e118c5086b5554e99fdd6785c4415fd837fe55be9624d3b",
        "bfa1d0dfcedae314ea4f7b7b3153216e435372c9aa0c331aec04e3f0fb8bae12",
        "cc75443d8979fe5cdbdf2de55b822ec8b63bc55348c2e451b46b19f4746885ca",
        "cd6c1f7d1dc6717d6371d2647910ca71ba3bf0b611083d322466b8843b4285b6",
        "cfd2f1fad75a1978da0a444883db7251414b139f31f5a04704c291fdb0e175e6",
        "d5ea2aa9223ac1fa43ccec70b30962690fcfc6686857f99a0c4b2963cf8bee4b",
        "e013633d3aa6041cad8b04c8c90a2d913ff058cb75684d8c2b95d227b46f2cf1",
        "e1b85b27d6bcb05846c18e6a48f118e89f0c0587140de9fb3359f8370d0dba08",
        "e7e8b89c2721d290cc5f55425491ecd6831355e91063f20b39c22f9ec6a71f91",
    ),
}
_ORIGINS = {digest: origin for origin, digests in _DIGESTS.items() for digest in digests}

# What a template, a shell or a secrets tool would have filled in or replaced.
_TEMPLATE = re.compile(
    r"<.*>|\{.*\}|[$#]\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|%[^%]+%|\[.*\]|@.*@|__\w+__|ENC\[.*|op://.*|vault:.*", re.DOTALL
)
# One character over and over. Not A and not =, which are base64 of zeros and its padding.
_FILLER = re.compile(r"([xX*.?_#-])\1{2,}=*|…")
# Seven letters or more: base64 of a random key holds one of these with a probability below 2^-28.
_ANYWHERE = re.compile(r"change[-_]?me|replace[-_]?me|placeholder|your[-_]?(secret|key|encryption)|base64[-_]?encoded")
_WORD = re.compile(
    "base64|change|dummy|encoded|encryption|example|fixme|generated|here|insert|key|password|placeholder|put|redacted"
    "|replace|sample|secret|tbd|todo|value|your"
)
# None of these stands in base64, so a word between two of them is one that somebody wrote.
_SEPARATORS = re.compile(r"[\s_.,:;!-]+")


def origin_of(key: bytes) -> str | None:
    """Where the key bytes `key` are printed for everyone to read; None when that is not known."""
    return _ORIGINS.get(hashlib.sha256(key).hexdigest())


def looks_like_placeholder(text: str) -> bool:
    """Whether `text`, found where base64 of a key should be, stands for a key that was never filled in."""
    bare = text.strip().strip("\"'")
    if _TEMPLATE.fullmatch(bare) or _FILLER.fullmatch(bare):
        return True
    words = _SEPARATORS.split(bare.lower())
    return _ANYWHERE.search(bare.lower()) is not None or any(_WORD.fullmatch(word) for word in words)
