"""Ta-Feng: grocery baskets, as Kaggle has them and with numbered baskets."""

from recaudit.data.readers.text import TextFormat

__all__ = ["TA_FENG", "TA_FENG_BASKETS"]

TA_FENG = TextFormat(
    name="ta-feng",
    holds="Kaggle ta_feng_all_months_merged.csv: a row a product bought, dates as 11/1/2000",
    columns={"user": "CUSTOMER_ID", "item": "PRODUCT_ID", "time": "TRANSACTION_DT"},
    date="%m/%d/%Y",
    ids="padded",
    repeats="first",
    sure=10,
)
TA_FENG_BASKETS = TextFormat(
    name="ta-feng-baskets",
    holds="Ta-Feng with numbered baskets: customer_id,product_id,basket",
    columns={"user": "customer_id", "item": "product_id", "time": "basket"},
    repeats="first",
    sure=10,
)
