import lzma

from benchmarks.auxiliary import main


def test_three_sets_become_one(tmp_path, capsys):
    (tmp_path / "aqmar.conll.xz").write_bytes(lzma.compress("زار O\nعلي B-PER\nحسن I-PER\n\nكأس B-MIS1\n".encode()))
    rows = "Sentence_ID,Word_ID,Word,Annotator1,Annotator2,Agreed_Label,Revised_Label\n"
    rows += "1,1,في,O,O,O,O\n1,2,جدة,B_LOC,O,No_Agr,B_LOC\n2,1,الوزير,B_TIT,B_TIT,B_TIT,B_TIT\n"
    (tmp_path / "caraner.csv.xz").write_bytes(lzma.compress(rows.encode()))
    (tmp_path / "wojood_sample_train.conll.xz").write_bytes(lzma.compress("روسيا B-GPE\nأمس B-DATE\n".encode()))
    out = tmp_path / "out.conll"
    assert main(["--gold", str(tmp_path), "-o", str(out)]) == 0
    assert out.read_text(encoding="utf-8").split("\n\n")[:-1] == [
        "زار O\nعلي B-PERS\nحسن I-PERS",
        "كأس B-MISC",
        "في O\nجدة B-LOC",
        "الوزير O",
        "روسيا B-LOC\nأمس O",
    ]
    assert "caraner.csv.xz: {'sentences': 2, 'LOC': 1}" in capsys.readouterr().err


def test_a_set_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["--gold", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "has no aqmar.conll.xz" in capsys.readouterr().err
