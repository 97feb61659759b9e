-- What a table's columns mean.
select column_name, data_type, comment
from duckdb_columns()
where table_name = 'similarity' and database_name = current_database()
order by column_index;
