-- What a credential says of the plan that it is of, in words: nothing of it is a secret, and people tell accounts apart by it.
alter table account_tokens add column plan text;
