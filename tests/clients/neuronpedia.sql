-- The part of Neuronpedia's database that an import writes: what may be null, what has to be there first.
create type "Visibility" as enum ('PUBLIC', 'UNLISTED', 'PRIVATE');

create table "User" (id text primary key, name text not null unique);

create table "ExplanationType" (name text primary key);

create table "ExplanationModelType" (name text primary key);

create table "SourceRelease" (
    name text not null unique,
    description text not null,
    visibility "Visibility" not null default 'PRIVATE',
    "creatorName" text not null,
    "creatorId" text not null references "User",
    "createdAt" timestamp not null default now()
);

create table "Model" (
    id text primary key,
    "displayName" text not null default '',
    "displayNameShort" text not null default '',
    owner text not null,
    layers integer not null,
    "neuronsPerLayer" integer not null,
    instruct boolean not null default false,
    visibility "Visibility" not null default 'PRIVATE',
    "creatorId" text not null references "User",
    "createdAt" timestamp not null default now()
);

create table "SourceSet" (
    "modelId" text not null references "Model",
    name text not null,
    description text not null,
    visibility "Visibility" not null default 'PRIVATE',
    "creatorName" text not null,
    "creatorId" text not null references "User",
    "releaseName" text references "SourceRelease" (name),
    "createdAt" timestamp not null default now(),
    unique ("modelId", name)
);

create table "Source" (
    id text not null,
    "modelId" text not null,
    "setName" text not null,
    visibility "Visibility" not null default 'PRIVATE',
    "creatorId" text not null references "User",
    "createdAt" timestamp not null default now(),
    unique ("modelId", id),
    foreign key ("modelId", "setName") references "SourceSet" ("modelId", name)
);

create table "Neuron" (
    "modelId" text not null references "Model",
    layer text not null,
    index text not null,
    "sourceSetName" text,
    "creatorId" text references "User",
    "maxActApprox" double precision default 0,
    "hookName" text,
    frac_nonzero double precision not null default 0,
    freq_hist_data_bar_heights double precision[],
    freq_hist_data_bar_values double precision[],
    logits_hist_data_bar_heights double precision[],
    logits_hist_data_bar_values double precision[],
    pos_str text[],
    pos_values double precision[],
    neg_str text[],
    neg_values double precision[],
    unique ("modelId", layer, index),
    foreign key ("modelId", layer) references "Source" ("modelId", id),
    foreign key ("modelId", "sourceSetName") references "SourceSet" ("modelId", name)
);

create table "Activation" (
    id text primary key,
    "modelId" text not null,
    layer text not null,
    index text not null,
    "creatorId" text not null references "User",
    tokens text[],
    "values" double precision[],
    "maxValue" double precision not null,
    "maxValueTokenIndex" integer not null,
    "minValue" double precision not null,
    "binMin" double precision,
    "binMax" double precision,
    "binContains" double precision,
    "dataSource" text,
    foreign key ("modelId", layer, index) references "Neuron" ("modelId", layer, index)
);

create table "Explanation" (
    id text primary key,
    "modelId" text not null references "Model",
    layer text not null,
    index text not null,
    "authorId" text not null references "User",
    description text not null,
    notes text,
    "typeName" text references "ExplanationType",
    "explanationModelName" text references "ExplanationModelType",
    foreign key ("modelId", layer, index) references "Neuron" ("modelId", layer, index)
);
