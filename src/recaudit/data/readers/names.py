"""Names: what columns of users, items, ratings and times are usually called."""

import re
from collections.abc import Mapping, Sequence

__all__ = ["ROLES", "USUAL", "plain_name", "usual_columns"]

ROLES = ("user", "item", "rating", "time")

# Letters and digits alone, in small letters; the earlier name counts where a file has several.
_USUAL = {
    "user": """user userid uid usr usrid useridx username visitorid visitor customerid customer custid
        customernumber customercode reviewerid reviewer memberid member accountid account clientid client buyerid
        buyer shopperid personid person readerid reader listenerid viewerid subscriberid profileid profile
        playerid player steamid userhash msno householdkey householdid cookieid deviceid anonymousid
        sessionid session reviewerusername""",
    "item": """item itemid iid itm itemidx itemname movieid movie filmid film productid product parentasin asin sku
        skuid productcode productkey stockcode isbn bookid book artistid artist trackid track songid song msid
        albumid gameid game appid app newsid articleid article videoid video contentid content poiid poi venueid
        venue businessid business gmapid locationid location placeid recipeid recipe animeid anime jokeid joke
        beerid beer hotelid offerid adid listingid courseid showid podcastid goodsid goodid merchandiseid upc ean
        gtin docid documentid postid urlid""",
    "rating": """rating ratings score scores stars star starrating overall overallrating userrating reviewrating
        bookrating reviewoverall preference grade weight playcount plays playhours hours hoursplayed listencount
        listeningcount playtime""",
    "time": """time timestamp ts unixtime unixtimestamp unixreviewtime eventtime eventtimestamp datetime date
        createdat created creationdate reviewtime reviewdate ratingtime ratedat interactiontime eventdate
        transactiontime transactiondate transactiondt tdat purchasetime purchasedate ordertime orderdate orderedat
        invoicedate checkintime visittime visitdate clicktime viewtime listenedat playedat watchedat utctime utc
        localtime timestampms timems dateadded addedat updatedat submitdate submitted day""",
}
USUAL: Mapping[str, Mapping[str, int]] = {
    role: {name: place for place, name in enumerate(text.split())} for role, text in _USUAL.items()
}
"""The usual names of each role, with their places in the order of preference."""


def plain_name(name: str) -> str:
    """Return a column's name in small letters and digits alone, ``userid`` of ``User-ID`` or ``user_id:token``."""
    return re.sub(r":(token|float)(_seq)?$|[^a-z0-9]", "", name.lower())


def usual_columns(fields: Sequence[str]) -> dict[str, int]:
    """Return the place of the column that each role is usually called by, where there is one."""
    found = {}
    for role in ROLES:
        known = USUAL[role]
        places = [place for place, field in enumerate(fields) if plain_name(field) in known]
        if places:
            found[role] = min(places, key=lambda place: (known[plain_name(fields[place])], place))
    return found
