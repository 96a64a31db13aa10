-- Which of OpenAI's dialects an account's server speaks: Responses, Chat Completions, or as its base URL tells. Only of platform openai.
alter table accounts add column dialect text not null default 'auto' check (dialect in ('auto', 'responses', 'chat'));
