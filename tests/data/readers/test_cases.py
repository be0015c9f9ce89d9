"""Files as people have them: what is read, what is said of it, and what is refused in one line."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import polars as pl
import pytest

from recaudit.data.readers.registry import read_interactions
from recaudit.errors import UsageError

PAIRS = [(user, (user * 7 + step * step) % 25) for user in range(1, 9) for step in range(6)]
PAIRS = list(dict.fromkeys(PAIRS))
BEGIN = 1_600_000_000


def time(user: int, item: int) -> int:
    return BEGIN + 100 * user + (item * 11) % 25


def lines(row, header: str = "", end: str = "\n") -> str:
    """Return a text with a row of each pair."""
    return "".join(line + end for line in ([header] if header else []) + [row(u, i) for u, i in PAIRS])


def in_order(text: bool = False) -> dict:
    """Return the histories of the pairs in the order of their times."""
    found: dict = {}
    for user, item in sorted(PAIRS, key=lambda pair: time(*pair)):
        found.setdefault(str(user) if text else user, []).append(str(item) if text else item)
    return found


def as_written() -> dict:
    """Return the histories of the pairs in the order of the rows."""
    found: dict = {}
    for user, item in PAIRS:
        found.setdefault(user, []).append(item)
    return found


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""

    def run(name: str, content: str | bytes, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_interactions(path, **options)

    return run


def histories(data) -> dict:
    return {
        user: data.item_ids[data.history(number)].to_list()
        for number, user in enumerate(data.user_ids.to_list())
    }


HEADERS = [
    "user,item,timestamp",
    "user_id,item_id,timestamp",
    "userId,movieId,ts",
    "UserID,ArtistID,date",
    "uid,iid,time",
    "visitorid,itemid,event_time",
    "customer_id,product_id,eventTime",
    "reviewerID,asin,unixReviewTime",
    "User-ID,ISBN,created_at",
    "SessionId,ItemId,Time",
    "customer,sku,time",
    "member id,book id,Review Date",
    "account,track_id,played_at",
]


@pytest.mark.parametrize("header", HEADERS)
def test_usual_names_are_known_in_every_format(read, tmp_path, header):
    user, item, when = header.split(",")
    text = lines(lambda u, i: f"{u},{i},{time(u, i)}", header)
    frame = pl.DataFrame(
        {user: [u for u, _ in PAIRS], item: [i for _, i in PAIRS], when: [time(*p) for p in PAIRS]}
    )
    typed = "\t".join(f"{name}:token" for name in (user, item)) + f"\t{when}:float"
    files = {
        "x.csv": text,
        "x.tsv": text.replace(",", "\t"),
        "x.txt": text.replace(",", "|"),
        "x.inter": lines(lambda u, i: f"{u}\t{i}\t{time(u, i)}.0", typed),
        "x.dat": text.replace(",", "::"),
        "x.jsonl": lines(lambda u, i: json.dumps({user: u, item: i, when: time(u, i)})),
        "x.json": json.dumps([{user: u, item: i, when: time(u, i)} for u, i in PAIRS]),
        "x.parquet": saved(frame.write_parquet),
        "x.feather": saved(frame.write_ipc),
    }
    for name, content in files.items():
        data = read(name, content)
        assert histories(data) == in_order(), name
        assert data.reading.columns == {"user": user, "item": item, "time": when}
        assert data.reading.unused == data.reading.doubts == ()


def saved(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def test_columns_that_are_not_read_are_named_and_times_among_them_offered(read):
    text = lines(lambda u, i: f"{u},{i},{time(u, i)},x", "customer,sku,time,remark")
    data = read("shop.csv", text, columns="user=customer,item=sku")
    assert data.times is None
    assert data.reading.unused == ("time", "remark")
    assert any("add time=time to --columns" in one for one in data.reading.doubts)
    assert any("the order of time" in one for one in data.reading.guessed)
    assert read("shop.csv", text, columns="user=1,item=2,time=3").times is not None


NO_HEADER = {
    "amazon.csv": (lambda u, i: f"A{u:08d}XY,B{i:09d},{i % 5 + 1}.0,{time(u, i)}", "1243"),
    "amazon2018.csv": (lambda u, i: f"B{i:09d},A{u:08d}XY,{i % 5 + 1}.0,{time(u, i)}", "2143"),
    "u.data": (lambda u, i: f"{u}\t{i}\t{i % 5 + 1}\t{time(u, i)}", "1243"),
    "gowalla.txt": (
        lambda u, i: f"{u}\t2010-10-{i + 1:02d}T23:55:27Z\t30.23590911\t-97.79513958\t{i}",
        "152",
    ),
    "foursquare.txt": (lambda u, i: f"{u}\tv{i}\tBar\tTue Apr 03 18:00:{i:02d} +0000 2012", "124"),
    "pairs.txt": (lambda u, i: f"u{u};i{i}", "12"),
    "three.dat": (lambda u, i: f"{u}::{i}::{i % 5 + 1}", "12-3"),
}


@pytest.mark.parametrize("name", NO_HEADER)
def test_a_file_without_a_header_loses_no_row(read, name):
    row, places = NO_HEADER[name]
    data = read(name, lines(row))
    assert len(data.items) == len(PAIRS)
    assert (data.n_users, data.n_items) == (8, len({item for _, item in PAIRS}))
    found = [data.reading.columns.get(role, "-") for role in ("user", "item", "time", "rating")]
    assert "".join(found).rstrip("-") == places
    assert any("There is no header" in one for one in data.reading.guessed)
    assert any("guessed from their values" in one for one in data.reading.guessed)
    by_number = read(name, lines(row), columns=f"user={places[0]},item={places[1]}")
    assert by_number.user_ids.to_list() == data.user_ids.to_list()


def test_a_header_is_taken_for_one_only_where_it_is(read):
    words = "alice,tea\nbob,milk\nalice,milk\n"
    assert len(read("x.csv", words).items) == 3
    assert len(read("x.csv", "who,what\n1,2\n3,4\n", header=False).items) == 3
    with pytest.raises(
        UsageError, match="among 'who', 'what'; name the columns with --columns user=…,item=…"
    ):
        read("x.csv", "who,what\n1,2\n3,4\n")
    assert len(read("x.csv", "1,2\n3,4\n5,6\n", header=True, columns="user=1,item=2").items) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", ['"user"{0}"item"', "user{0}item"])
def test_everything_quoted(read, separator, header):
    text = header.format(separator) + "\n" + "".join(f'"{u}"{separator}"a,b;c|{i}"\n' for u, i in PAIRS)
    data = read("x.csv", text)
    assert histories(data)[1][0] == f"a,b;c|{PAIRS[0][1]}"
    assert len(data.items) == len(PAIRS)


def test_content_comes_before_the_ending(read):
    text = lines(lambda u, i: f"{u}\t{i}\t3", "userID\tartistID\tweight", "\r\n")
    frame = pl.DataFrame({"user": [1], "item": [2]})
    for name in ("hetrec.dat", "x.csv", "x.inter", "x.parquet", "x"):
        assert histories(read(name, text)) == as_written()
        assert histories(read(name, saved(frame.write_parquet))) == {1: [2]}
        assert histories(read(name, saved(frame.write_ipc))) == {1: [2]}
        assert histories(read(name, '{"user": 1, "item": 2}\n')) == {1: [2]}


def test_packed_files_are_unpacked(read):
    text = lines(lambda u, i: f"{u},{i}", "user,item").encode()
    for name, pack in (("x.csv.gz", gzip.compress), ("x.bz2", bz2.compress), ("x.xz", lzma.compress)):
        assert histories(read(name, pack(text))) == as_written()
    assert read("x.csv.gz", gzip.compress(text)).name == "x"
    data = read("x.zip", zipped({"ml/": b"", "ml/ratings.csv": text, "__MACOSX/._ratings.csv": b""}))
    assert histories(data) == as_written()
    assert data.reading.guessed[0] == "The zip file holds one file, ml/ratings.csv, which was read."
    frame = pl.DataFrame({"user": [1], "item": [2]})
    assert histories(read("x.zip", zipped({"x.parquet": saved(frame.write_parquet)}))) == {1: [2]}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_folders_and_patterns_are_one_table(tmp_path):
    half = len(PAIRS) // 2
    for number, part in enumerate((PAIRS[:half], PAIRS[half:])):
        frame = pl.DataFrame(part, schema=["user", "item"], orient="row")
        folders = {name: tmp_path / name for name in ("spark", "text", "bare")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        (folders["spark"] / "_SUCCESS").touch()
        frame.write_parquet(folders["spark"] / f"part-{number}.snappy.parquet")
        frame.write_csv(folders["text"] / f"part-{number}.csv")
        frame.write_csv(folders["bare"] / f"x{number}.csv", include_header=False)
    for path in (
        folders["spark"],
        folders["text"],
        tmp_path / "*" / "x*.csv",
        tmp_path / "spark" / "*.parquet",
    ):
        data = read_interactions(path)
        assert histories(data) == as_written()
        assert data.reading.guessed[0].startswith("2 files were read as one table")
    with (folders["text"] / "part-1.csv").open("a") as file:
        file.write("1,\n")
    broken = folders["text"] / "part-1.csv"
    line = len(broken.read_text().splitlines())
    with pytest.raises(UsageError) as told:
        read_interactions(folders["text"])
    assert str(told.value).startswith(f"{broken}, line {line}, column 'item': found ''")
    (folders["text"] / "part-2.csv").write_text("item,user\n1,2\n")
    with pytest.raises(UsageError, match=r"part-2.csv, line 1: the header is not that of part-0.csv"):
        read_interactions(folders["text"])
    with pytest.raises(UsageError, match="no file fits this pattern"):
        read_interactions(tmp_path / "none*.csv")
    with pytest.raises(
        UsageError, match=r"is a directory, expected a file; name the file inside it, such as x0.csv"
    ):
        read_interactions(folders["bare"])


def test_a_name_with_signs_of_patterns_is_a_name(read):
    assert histories(read("[red]*.csv", lines(lambda u, i: f"{u},{i}", "user,item"))) == as_written()


@pytest.mark.parametrize("name", ["x.csv", "x.inter"])
def test_old_line_ends(read, name):
    header = {"x.csv": "user,item", "x.inter": "user_id:token\titem_id:token"}[name]
    separator = "," if name == "x.csv" else "\t"
    data = read(name, lines(lambda u, i: f"{u}{separator}{i}", header, "\r"))
    assert histories(data) == as_written()
    assert any("carriage return" in one for one in data.reading.guessed)


def test_other_encodings(read):
    text = lines(lambda u, i: f"Zoë{u};{i};Café {i}", "User-ID;ISBN;Title")
    with pytest.raises(
        UsageError, match=r"line 2, byte 3: found 0xeb, expected UTF-8 text; .* add --encoding latin-1"
    ):
        read("x.csv", text.encode("latin-1"))
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8"):
        data = read("x.csv", text.encode(encoding), encoding=encoding)
        assert data.user_ids.to_list() == [f"Zoë{user}" for user in range(1, 9)]
    elsewhere = read("x.csv", text.replace("Zoë", "").encode("latin-1"))
    assert histories(elsewhere) == as_written()
    assert any("not UTF-8, in columns that are not read" in one for one in elsewhere.reading.guessed)
    with pytest.raises(UsageError, match=r"this is UTF-16 text; .* add --encoding utf-16$"):
        read("x.csv", text.encode("utf-16"))
    with pytest.raises(UsageError, match="encoding: unknown encoding 'latin-x'"):
        read("x.csv", text, encoding="latin-x")
    with pytest.raises(UsageError, match="is no ascii text"):
        read("x.csv", text, encoding="ascii")


REFUSED = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    "a web page": b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n",
    "an Excel workbook; save the sheet as CSV": zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
    "an SQLite database": b"SQLite format 3\0...",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a Python pickle, which is not opened": b"\x80\x04\x95...",
    "holds 2 files (a.csv, b.csv), expected one": zipped({"a.csv": b"", "b.csv": b""}),
    "the zip file is damaged or locked": zipped({"a.csv": b"user,item\n"})[:30],
    "the fields are separated by blanks, expected tabs or commas; add --separator space": b"user item\n1 2\n3 4\n",
    "files with a user and all items in a line": b"0 1 2 3\n1 4\n2 5 6\n",
    "found '# mine', expected a header or a row": b"# mine\nuser,item\n1,2\n",
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_no_table_is_refused_in_one_line(read, tmp_path, says):
    with pytest.raises(UsageError) as told:
        read("x.csv", REFUSED[says])
    assert str(told.value).startswith(str(tmp_path / "x.csv"))
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_blanks_between_fields_are_read_when_asked_for(read):
    typed = lines(lambda u, i: f"{u} {i} {time(u, i)}", "user_id:token item_id:token timestamp:float")
    with pytest.raises(UsageError, match="add --separator space"):
        read("x.inter", typed)
    assert histories(read("x.inter", typed, separator="space")) == in_order()
    assert histories(read("x.txt", lines(lambda u, i: f"{u} {i}"), separator=" ")) == as_written()
    with pytest.raises(UsageError, match="separator: found 'ab', expected one character"):
        read("x.txt", typed, separator="ab")


TIMES = {
    "2020-09-01T10:00:{:02d}+02:00": -7200,
    "2020-09-01 10:00:{:02d} UTC": 0,
    "2020-09-01 10:00:{:02d} -0330": 12600,
    "2020-09-01T10:00:{:02d}.000Z": 0,
    "2020/09/01 10:00:{:02d}": 0,
    "Tue Sep 01 10:00:{:02d} +0000 2020": 0,
    "9/1/2020 10:00:{:02d}": None,
}


@pytest.mark.parametrize("written", TIMES)
def test_ways_to_write_times(read, written):
    if TIMES[written] is None:
        written, offset = "9/30/2020 10:00:{:02d}", 29 * 86_400
    else:
        offset = TIMES[written]
    texts = [written.format(second) for second in (3, 1, 2)]
    rows = "".join(f"1,{item},{text}\n" for item, text in zip("cab", texts, strict=True))
    frame = pl.DataFrame({"user": [1] * 3, "item": list("cab"), "time": texts})
    for data in (read("x.csv", "user,item,time\n" + rows), read("x.parquet", saved(frame.write_parquet))):
        assert histories(data) == {1: ["a", "b", "c"]}
        assert data.times.tolist() == [1_598_954_400 + offset + second for second in (1, 2, 3)]


def test_times_without_seconds_and_text_of_numbers(read):
    data = read("x.csv", "user,item,time\n1,b,2020-09-01 10:01\n1,a,2020-09-01 10:00\n")
    assert data.times.tolist() == [1_598_954_400, 1_598_954_460]
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": ["20", "3"]})
    assert histories(read("x.parquet", saved(frame.write_parquet))) == {1: [2, 1]}


def test_dates_that_may_be_two_are_refused(read):
    with pytest.raises(
        UsageError, match="line 2, column 'date': found '03/04/2020', which may be month/day or day/month"
    ):
        read("x.csv", "user,item,date\n1,2,03/04/2020\n1,3,05/06/2020\n")
    with pytest.raises(
        UsageError, match=r"line 3, column 'date': .* to read the file without it, add --columns user="
    ):
        read("x.csv", "user,item,date\n1,2,03/14/2020\n1,3,15/06/2020\n")


def test_dates_that_may_be_two_are_refused_in_parquet(read):
    frame = pl.DataFrame({"user": [1, 1], "item": [2, 3], "date": ["03/03/2020", "05/06/2020"]})
    with pytest.raises(UsageError, match="row 2, column 'date': found '05/06/2020', expected a time"):
        read("x.parquet", saved(frame.write_parquet))


def test_doubtful_times_are_said(read):
    def doubts(when) -> str:
        return " ".join(
            read("x.csv", lines(lambda u, i: f"{u},{i},{when(u, i)}", "user,item,time")).reading.doubts
        )

    assert doubts(time) == doubts(lambda u, i: 1000 * time(u, i)) == ""
    few, many = sum(u == 3 for u, _ in PAIRS), sum(u != 3 for u, _ in PAIRS)
    mixed = doubts(lambda u, i: time(u, i) * (1000 if u == 3 else 1))
    assert f"{many} in seconds and {few} in milliseconds" in mixed
    assert f"{few} times in the future, the last in 20" in doubts(
        lambda u, i: time(u, i) + (u == 3) * 10**10 // 10
    )
    assert "Times run from 1970 to 2020" in doubts(lambda u, i: 5 if u == 3 else time(u, i))
    assert f"{few} times are 0" in doubts(lambda u, i: 0 if u == 3 else time(u, i))
    assert doubts(lambda u, i: i) == ""
    far = doubts(lambda u, i: "3020-01-01" if (u, i) == PAIRS[0] else "2020-01-01")
    assert far.startswith("1 time in the future, the last in 3020. Times run from 2020 to 3020")


@pytest.mark.parametrize("word", ["NA", r"\N", "NULL", "nan", "#N/A", " ", "<NA>", "None", "nil"])
@pytest.mark.parametrize("role", ["user", "item"])
def test_a_missing_id_is_refused_by_line(read, word, role):
    row = {"user": "9", "item": "9", role: word}
    text = lines(lambda u, i: f"{u}\t{i}", "user\titem") + f"{row['user']}\t{row['item']}\n"
    where = len(PAIRS) + 2
    with pytest.raises(
        UsageError, match=f"x.tsv, line {where}, column '{role}': found .* expected the id of an? {role}"
    ):
        read("x.tsv", text)
    frame = pl.DataFrame({"user": ["a", row["user"]], "item": ["b", row["item"]]})
    with pytest.raises(UsageError, match=f"row 2, column '{role}': found .* expected an id"):
        read("x.parquet", saved(frame.write_parquet))


@pytest.mark.parametrize("extra", ["", ",rating", ",time", ",remark"])
@pytest.mark.parametrize("ids", ["{},{}", "u{},i{}"])
def test_a_second_header_is_refused_by_line(read, extra, ids):
    header, more = "user,item" + extra, ",1" if extra else ""
    text = lines(lambda u, i: ids.format(u, i) + more, header)
    with pytest.raises(UsageError, match=f"line {len(PAIRS) + 2}, column 1: the header stands here again"):
        read("x.csv", text + header + "\n77,88" + more + "\n")


def test_a_second_header_of_recbole(read):
    header = "user_id:token\titem_id:token"
    text = lines(lambda u, i: f"u{u}\ti{i}", header)
    with pytest.raises(UsageError, match="the header stands here again"):
        read("x.inter", f"{text}{header}\nv\tw\n")


EVENTS = "timestamp,visitorid,event,itemid\n300,1,view,8\n301,1,buy,8\n100,1,view,9\n200,2,view,8\n"


@pytest.mark.parametrize(
    ("repeats", "history", "ratings"),
    [("first", [9, 8], None), ("last", [9, 8], None), ("count", [9, 8], [1, 2])],
)
def test_a_log_of_events(read, repeats, history, ratings):
    data = read("events.csv", EVENTS, repeats=repeats)
    assert histories(data) == {1: history, 2: [8]}
    assert data.times[:2].tolist() == [100, 301 if repeats == "last" else 300]
    assert data.ratings is None if ratings is None else data.ratings[:2].tolist() == ratings
    assert data.reading.merged[0].startswith("1 of 4 rows repeat a pair of user and item")
    assert data.reading.unused == ("event",)


def test_repeats_that_are_summed(read):
    text = "user,item,rating\n1,8,2\n1,9,5\n1,8,3\n2,8,1\n"
    data = read("x.csv", text, repeats="sum")
    assert histories(data) == {1: [8, 9], 2: [8]}
    assert data.ratings.tolist() == [5, 5, 1]
    assert read("x.csv", text, repeats="count").ratings.tolist() == [2, 1, 1]
    with pytest.raises(UsageError, match="'sum' needs ratings, and there are none; say 'count'"):
        read("events.csv", EVENTS, repeats="sum")
    with pytest.raises(UsageError, match="with --repeats first, last, sum or count"):
        read("events.csv", EVENTS)
    once = read("x.csv", "user,item\n1,2\n", repeats="count")
    assert once.ratings.tolist() == [1]


def test_sequences_of_recbole_are_histories(read):
    rows = {"1": ["8", "11", "14", "17"], "2": ["15", "18"]}
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\ttimestamp:float"
    whole = "".join(f"{user}\t{' '.join(items[:-1])}\t{items[-1]}\t5\n" for user, items in rows.items())
    steps = "".join(
        f"{user}\t{' '.join(items[:end])}\t{items[end]}\t5\n"
        for user, items in rows.items()
        for end in range(1, len(items))
    )
    windows = "".join(
        f"{user}\t{' '.join(items[max(0, end - 2) : end])}\t{items[end]}\t5\n"
        for user, items in rows.items()
        for end in range(1, len(items))
    )
    for text in (whole, steps, windows):
        data = read("x.train.inter", f"{header}\n{text}")
        assert histories(data) == {int(user): [int(item) for item in items] for user, items in rows.items()}
        assert data.reading.unused == ("timestamp",)
        assert any("Each row tells a history" in one for one in data.reading.guessed)
    alone = read("x.inter", "session_id:token\titem_id:token_seq\n1\t5 3 4\n2\t3\n")
    assert histories(alone) == {1: [5, 3, 4], 2: [3]}
    with pytest.raises(UsageError, match="line 3: this row of user '1' does not go on from the rows before"):
        read("x.inter", f"{header}\n1\t8 11\t14\t5\n1\t3 4\t5\t6\n")
    with pytest.raises(UsageError, match="the history of user 1 has item 8 twice"):
        read("x.inter", f"{header}\n1\t8 11\t8\t5\n")
    with pytest.raises(UsageError, match="line 2: the row has 3 fields, expected 4"):
        read("x.inter", f"{header}\n1\t8 11\t8\n")


def test_other_sequences_of_recbole_are_not_read(read):
    data = read("x.inter", "user_id:token\titem_id:token\ttags:token_seq\n1\t2\ta b\n")
    assert histories(data) == {1: [2]}
    assert data.reading.unused == ("tags",)


def test_blanks_around_ids_are_left_out_and_counted(read):
    data = read("x.csv", "user,item\nu1,i1\nu1 ,i2\n u2,i1\n")
    assert histories(data) == {"u1": ["i1", "i2"], "u2": ["i1"]}
    assert data.reading.merged == ("Blanks around 2 user ids were left out.",)
    frame = pl.DataFrame({"user": ["u1", "u1 "], "item": ["a", "b"]})
    assert histories(read("x.parquet", saved(frame.write_parquet))) == {"u1": ["a", "b"]}


@pytest.mark.parametrize(
    ("one", "other"), [("7", "7.0"), ("007", "7"), ("u1", "U1"), ("0108775015", "108775015"), ("+7", "7")]
)
def test_ids_that_look_alike_are_counted_said_and_kept_as_written(read, one, other):
    data = read("x.csv", f"user,item\n{one},1\n{other},2\n5,1\n")
    assert histories(data) == {one: [1], other: [2], "5": [1]}
    assert len(data.reading.doubts) == 1
    assert data.reading.doubts[0].startswith("1 user id is written in more than one way, such as ")
    assert repr(one) in data.reading.doubts[0]


def test_ids_come_out_as_they_went_in(read):
    ids = ["0108775015", "042", "00"]
    text = "user,item\n" + "".join(f"{number},{one}\n" for number, one in enumerate(ids))
    for padding in (0, 500):  # beyond the sample that types are guessed from
        rows = "".join(f"{1000 + number},{1000 + number}\n" for number in range(padding))
        data = read("x.csv", text.replace("user,item\n", "user,item\n" + rows))
        assert {*ids} <= {*data.item_ids.to_list()}
        assert data.user_ids.dtype == pl.Int64 or padding


@pytest.mark.parametrize("separator", ["\t", ";", "|"])
def test_the_separator_is_what_cuts_every_line_alike(tmp_path, separator) -> None:
    """A header whose last column has commas in its name does not make the file one of commas."""
    header = separator.join(["user", "item", "title, in English, short, or none"])
    path = tmp_path / "x.txt"
    path.write_text(lines(lambda u, i: separator.join([str(u), str(i), "word"]), header), "utf-8")
    found = read_interactions(path)
    assert sorted(
        zip(found.user_ids.gather(found.users), found.item_ids.gather(found.items), strict=True)
    ) == sorted(PAIRS)


@pytest.mark.parametrize("columns", ["user=user,item=user", "user=1,item=item,time=1"])
def test_a_column_has_one_role(tmp_path, columns) -> None:
    path = tmp_path / "x.csv"
    path.write_text(lines(lambda u, i: f"{u},{i}", "user,item"), "utf-8")
    with pytest.raises(UsageError, match=r"line 1: column 'user' is named for 'user' and for '(item|time)'"):
        read_interactions(path, columns=columns)
