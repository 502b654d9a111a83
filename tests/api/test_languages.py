# SPDX-License-Identifier: LGPL-2.1-or-later
"""Notes in any language are found by their own words, with nothing configured, in one vault."""

import json
import unicodedata

import pytest

from support.api import problem

NOTES = {
    "en": "# Interferometer\n\nThe polisher was running over the glass mirror on Monday.\n",
    "zh": "# 干涉仪\n\n我们用激光干涉仪测量镜面的平整度，误差小于十纳米。\n",
    "zh-hant": "# 圖書館\n\n臺北的圖書館每天開放到晚上九點。\n",
    "ja": "# 望遠鏡の調整\n\n副鏡の光軸をレーザーで合わせる。コーヒーを飲みながら。\n",
    "ko": "# 망원경\n\n오늘은 반사경을 깨끗하게 닦았습니다. 날씨가 맑았다. 물은 백도에서 끓는다.\n",
    "th": "# กล้องโทรทรรศน์\n\nเราวัดความเรียบของกระจกด้วยเลเซอร์ทุกวันจันทร์\n",
    "ar": "# المرصد\n\nكَتَبَ المُهَنْدِسُ تقريرًا عن مدرسة البصريات في القاهرة.\n",
    "fa": "# آزمایشگاه\n\nما می‌خواهیم آینه را تمیز کنیم.\n",
    "he": "# מצפה\n\nשָׁלוֹם לכולם, המראה מלוטשת היום.\n",
    "de": "# Spiegelprüfung\n\nDie Straßenlaterne störte die Messung der Oberfläche in München.\n",
    "vi": "# Kính thiên văn\n\nChúng tôi đo độ phẳng của gương ở Đà Nẵng.\n",
    "fr": "# Réglage\n\nL'élève a réglé le miroir à côté de la fenêtre.\n",
    "ru": "# Телескоп\n\nМы измерили плоскостность зеркала на ёлке.\n",
    "el": "# Τηλεσκόπιο\n\nΟ Σίσυφος γυάλισε τον καθρέφτη.\n",
    "hi": "# दूरबीन\n\nहमने दर्पण की सतह को मापा।\n",
}

ASKED = [
    ("en", ["interferometers", "polish", "RUNNING over glass", "ｍｉｒｒｏｒ", "mir\u00adror"]),
    ("zh", ["干涉仪", "激光干涉", "镜面平整度", "怎么测量平整度？", "误差", "纳"]),
    ("zh-hant", ["圖書館", "臺北", "晚上九點"]),
    ("ja", ["望遠鏡", "光軸", "レーザー", "ﾚｰｻﾞｰ", "副鏡の光軸を合わせる", "ｺｰﾋｰ", "軸"]),
    ("ko", ["망원경", "반사경", "반사경을 닦았습니다", "물", "물 온도", unicodedata.normalize("NFD", "날씨")]),
    ("th", ["กล้องโทรทรรศน์", "ความเรียบ", "กระจก", "วันจันทร์"]),
    ("ar", ["المرصد", "كتب", "المهندس", "مدرسه", "مُدَرِّسة", "القـاهـرة", "ﺍﻟﻘﺎﻫﺮﺓ"]),
    ("fa", ["آزمایشگاه", "می‌خواهیم", "میخواهیم", "ازمايشگاه", "آینه"]),
    ("he", ["מצפה", "שלום", "שָׁלוֹם", "\u202bהמראה\u202c", "מלוטשת"]),
    ("de", ["Spiegelprüfung", "SPIEGELPRÜFUNG", "Spiegelprufung", "strassenlaterne",
            "STRASSENLATERNE", "münchen", "Mu\u0308nchen", "Ｍünchen"]),
    ("vi", ["kính thiên văn", "kinh thien van", "Đà Nẵng", "da nang", "DA NANG", "phẳng"]),
    ("fr", ["réglage", "reglage", "ÉLÈVE", "eleve", "fenêtre"]),
    ("ru", ["ТЕЛЕСКОП", "зеркала", "елке", "ёлке"]),
    ("el", ["τηλεσκοπιο", "ΣΙΣΥΦΟΣ", "καθρέφτη"]),
    ("hi", ["दूरबीन", "दर्पण"]),
]


@pytest.fixture
def vault(root, run_op, start_daemon):
    """A daemon on a vault of all languages, a project for each."""
    root.write_registry([
        {"id": language, "aliases": [], "description": "",
         "ingest_roots": [{"source": "vault", "subpath": language, "label": ""}]}
        for language in NOTES])
    for language, text in NOTES.items():
        root.write(f"sources/vault/{language}/note.md", text)
    run_op("atocore-ingest").expect(0)
    return start_daemon()


def found(daemon, prompt, **fields):
    answer = daemon.post("/query", {"prompt": prompt, **fields}).expect(200).json
    return [chunk["source_file"].split("/")[2] for chunk in answer["chunks"]]


def test_each_language_is_found_by_its_words(vault):
    wrong = [(language, prompt, languages) for language, prompts in ASKED for prompt in prompts
             if (languages := found(vault, prompt))[:1] != [language]]
    assert wrong == []


def test_a_project_is_found_in_by_its_language_alone(vault):
    for language, prompts in ASKED:
        assert found(vault, prompts[0], project=language) == [language]
    assert found(vault, "干涉仪", project="de") == []


def test_a_prompt_may_be_of_several_languages(vault):
    assert set(found(vault, "干涉仪 interferometer レーザー München мирор")) == {
        "zh", "en", "ja", "de"}
    assert set(found(vault, "Spiegelprüfungと望遠鏡")) == {"de", "ja"}


def test_a_pack_holds_the_text_as_it_was_written(vault):
    for prompt, text in (("كتب", "كَتَبَ المُهَنْدِسُ"), ("ﾚｰｻﾞｰ", "レーザーで合わせる"),
                         ("da nang", "Đà Nẵng"), ("שלום", "שָׁלוֹם")):
        pack = vault.post("/context/build", {"prompt": prompt}).expect(200).json
        assert text in json.dumps(pack, ensure_ascii=False)


def test_a_note_of_several_languages_is_found_by_each(root, run_op, start_daemon):
    root.write("sources/vault/p05-日本語.md",
               "---\ntags: [光学, Müller-Straße]\naliases: [望遠鏡2号]\n---\n"
               "EXDEVが出た: atocore.dbをバックアップする。Größe ist 5μm.\n")
    root.write("sources/vault/other.md", "Nothing of the kind.\n")
    run_op("atocore-ingest").expect(0)
    daemon = start_daemon()
    for prompt in ("光学", "muller", "strasse", "望遠鏡", "exdev", "atocore.db", "バックアップ",
                   "groesse Größe", "日本語", "p05", "5μm", "5µm"):
        answer = daemon.post("/query", {"prompt": prompt}).expect(200).json
        assert [chunk["source_file"] for chunk in answer["chunks"]] == [
            "sources/vault/p05-日本語.md"], prompt


def test_names_with_signs_are_told_apart(root, run_op, start_daemon):
    for name, text in (("plans", "Option c, point C, and so on to C."), ("cpp", "Written in C++."),
                       ("sharp", "Written in C#, not in C."), ("release", "版本10.3发布了。"),
                       ("numbers", "From 3 to 10, page 3, 10 of 10."), ("heart", "Le cœur bat."),
                       ("lift", "⚠️Vorsicht beim Heben, 1️⃣Erstens.")):
        root.write(f"sources/vault/{name}.md", text + "\n")
    run_op("atocore-ingest").expect(0)
    daemon = start_daemon()
    for prompt, name in (("C++", "cpp"), ("c#", "sharp"), ("10.3", "release"), ("coeur", "heart"),
                         ("Vorsicht", "lift"), ("⚠️ Vorsicht", "lift"), ("heben", "lift")):
        assert found(daemon, prompt)[0] == f"{name}.md", prompt
    assert found(daemon, "⚠️ ☎️") == []


NOTHING = ["?!...", "—–…“”", "。、！？", "😀", "⚠️ ☎️", "👩‍👩‍👧 🇩🇪", "\u200b", "\u200e\u200f\u202e",
           "\ufeff", "\u2066\u2069", "\u0301", "* ^ \" ( ) : -", "--", "\t\n", "\u3000",
           "\ue000", "\U0010fffd", "\x01\x7f"]


def test_a_prompt_without_a_word_finds_nothing(vault):
    for prompt in NOTHING:
        assert found(vault, prompt) == [], ascii(prompt)


def test_what_is_around_words_does_not_matter(vault):
    for prompt in ("glass*", "\"glass", "glass AND", "NOT glass", "NEAR(glass mirror, 2)",
                   "title:glass", "{content} : glass", "^glass", "-glass", "glass' OR 1=1; --",
                   "😀glass😀", "\u202eglass\u202c", "gl\u200das\u2060s", "\ufeffglass",
                   "glass\u200bmirror", "%glass_"):
        assert found(vault, prompt)[:1] == ["en"], ascii(prompt)


def test_a_prompt_of_common_words_alone_is_asked_for(vault):
    assert found(vault, "the was on") == ["en"]
    assert found(vault, "to be or not to be") == []


def test_a_prompt_may_be_as_large_as_a_body(vault):
    room = (1 << 20) - len(json.dumps({"prompt": ""}))

    def ask(text):
        body = json.dumps({"prompt": text}, ensure_ascii=False).encode()
        assert len(body) <= 1 << 20
        return vault.post("/query", body).expect(200).json

    for unit in ("glass ", "น้ำ", "-q", "\u0301", "😀"):
        size = len(unit.encode())
        answer = ask(unit * (room // size))
        assert bool(answer["chunks"]) == (unit == "glass "), unit
    answer = ask("glass " + " ".join(f"w{i}" for i in range(120_000)))
    assert [chunk["source_file"] for chunk in answer["chunks"]] == ["sources/vault/en/note.md"]
    assert "prompt_cut" in answer["retrieval"]["degraded"][0]
    problem(vault.post("/query", {"prompt": "x" * room + "x"}), 413, "body_too_large")
