-- Where a request was computed, by the vendor's word, when that has a price of its own (`us`): a row must explain its cost.
alter table usage add column geo text;
