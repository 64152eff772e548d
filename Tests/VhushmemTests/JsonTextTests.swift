// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct JsonTextTests {
    @Test func commasStandBetweenValuesAlone() {
        let json = JsonText()
        json.beginObject()
        json.beginList("none")
        json.endList()
        json.beginList("items")
        json.item("a", "b", "c", "d")
        json.beginObject()
        json.endObject()
        json.item("")
        json.endList()
        json.bool("yes", true)
        json.limit("no", 0)
        json.limit("some", 3)
        json.endObject()
        #expect(json.takeString() == #"{"none":[],"items":["abcd",{},""],"yes":true,"no":null,"some":3}"#)
    }

    @Test func numbersKeepAllTheirBits() {
        let json = JsonText()
        json.beginObject()
        json.number("n", .max)
        json.endObject()
        #expect(json.takeString() == #"{"n":18446744073709551615}"#)
    }

    @Test(arguments: [
        ("plain ä€", "plain ä€"), ("", ""), ("\"\\", #"\"\\"#), ("\u{1}\n\u{1f}\u{7f}", #"\u0001\u000a\u001f\u007f"#),
        ("\u{80}\u{9f}\u{a0}", "\\u0080\\u009f\u{a0}"), ("[{", "[{"),
    ])
    func textsAreEscaped(text: String, escaped: String) {
        let json = JsonText()
        json.beginObject()
        json.text("t", text)
        json.text("n", nil as String?)
        json.endObject()
        #expect(json.takeString() == "{\"t\":\"\(escaped)\",\"n\":null}")
    }
}
