"""stub"""

import streamlit as st

st.title("Head")
st.write(str(dict(st.query_params)))
